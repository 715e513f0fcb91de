"""Plane 1: requests, through real sockets."""
