"""What tests share: fleets to pick from, and real processes that are always reaped."""
