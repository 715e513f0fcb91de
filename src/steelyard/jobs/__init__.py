"""Plane 2: tasks, on real nodes."""
