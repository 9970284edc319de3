"""Where typed settings become the objects that a run is made of. Nothing else knows both sides."""
