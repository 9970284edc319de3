"""The monitor inside other people's trainers, one file a framework; none is imported before its file is."""
