"""Slow start: a replica that came back gets a share that grows over a window, not a flood into cold
caches.

The share is 0.1 at the start and grows linearly to 1 (Envoy's slow start with aggression 1.0 and a
least weight of 10 %). It is the chance with which the replica takes part in a pick.
"""

LEAST_SHARE = 0.1


def slow_start_share(since_s: float, window_s: float) -> float:
    """The share, 0.1..1, of a replica that came back `since_s` seconds ago."""
    if window_s <= 0 or since_s >= window_s:
        return 1.0
    return max(LEAST_SHARE, since_s / window_s)
