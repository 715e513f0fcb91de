"""Recorded and generated load, in order of time."""
