"""Whole stories on one machine, with a table and a page at the end."""
