"""A trained network as a file for other engines, and the proof that it still finds the same joints."""
