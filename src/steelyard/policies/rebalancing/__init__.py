"""Which task leaves a hot node, and whether the move pays."""
