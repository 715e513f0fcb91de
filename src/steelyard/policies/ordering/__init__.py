"""Which task goes first."""
