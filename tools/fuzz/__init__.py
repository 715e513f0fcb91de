"""Fuzzing of everything that reads bytes of strangers; see `python -m tools.fuzz --help`."""
