"""Plane 3: the pure half under a virtual clock."""
