"""Side-by-side measurements. Run from the root of the repository, as modules: `python -m benchmarks.monitor`."""
