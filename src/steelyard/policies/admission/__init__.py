"""Who may start now: rate limits, concurrency limits, and the order in which the rest waits."""
