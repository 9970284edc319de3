"""A set of variations of one config, trained one after the other."""
