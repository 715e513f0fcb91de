"""A hash ring: each replica owns arcs in proportion to its weight; a key belongs to the next point clockwise.

Points depend on the replica's id alone, so a replica that joins or leaves moves only the keys of its own arcs
(Karger et al., STOC 1997), and all workers and restarts agree. xxh3, never `hash()`, which differs between
processes. Cost: building sorts all points once a fleet version; a look-up is one bisection.
"""

from bisect import bisect_right
from collections.abc import Iterator

import xxhash

from steelyard.model.fleet import Fleet

POINTS_PER_WEIGHT = 128  # shares within about 10 % of their weight
MAX_POINTS = 4096  # a replica


def hash_key(key: str) -> int:
    """The place of a key on the ring."""
    return xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass"))


class Ring:
    """Points of all slots of one fleet version."""

    __slots__ = ("_points", "_slots")

    def __init__(self, fleet: Fleet) -> None:
        points = sorted(
            (hash_key(f"{replica_id}#{number}"), slot)
            for slot, replica_id in enumerate(fleet.ids)
            if replica_id
            for number in range(min(MAX_POINTS, max(1, round(POINTS_PER_WEIGHT * fleet.weights[slot]))))
        )
        self._points = [place for place, _ in points]
        self._slots = [slot for _, slot in points]

    def walk(self, place: int) -> Iterator[int]:
        """Slots clockwise from a place, each point once: a slot comes up as often as it has points."""
        slots = self._slots
        start = bisect_right(self._points, place)
        for step in range(len(slots)):
            yield slots[(start + step) % len(slots)]
