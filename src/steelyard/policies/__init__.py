"""Algorithms that choose: one a file, none imports another, no clock and no chance of their own."""
