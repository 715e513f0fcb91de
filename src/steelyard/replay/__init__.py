"""Open-loop load from a trace, through real sockets, and what came of it."""
