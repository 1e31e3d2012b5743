"""This package has the measurements of `tools/benchmark.py`: a module with `add_arguments` and `run` for each."""
