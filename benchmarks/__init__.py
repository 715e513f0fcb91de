"""Measurements beside named peers. Each prints Markdown with machine, versions and method."""
