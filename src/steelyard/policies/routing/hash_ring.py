"""Consistent hashing with bounded loads: the key's replica, unless it is too busy; then the next on the
ring.

A replica is full at ceil(1.25 · (requests in flight + 1) · its share of the weights); Mirrokni, Thorup
and Zadimoghaddam, SODA 2018. With fewer than `NEVER_FULL` in flight it is not, whatever the mean: in a
fleet with little to do the bound alone sends every second request of a moment elsewhere. When a replica
joins or leaves, only its own keys move. A request without a key goes to one at random. No ties: points
are distinct. Cost: one bisection and a short walk; the sum of loads is kept for all of a large fleet, and is
a C loop over the eligible otherwise.
"""

import math
from dataclasses import dataclass
from typing import Final

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.ring import Ring, hash_key

LOAD_FACTOR = 1.25
NEVER_FULL: Final = 4


@dataclass(slots=True)
class HashRing:
    """The affinity key decides."""

    rng: Rng
    load_factor: float = LOAD_FACTOR
    _ring: Ring | None = None
    _version: int = -1
    _eligible: Eligible | None = None
    _total_weight: float = 1.0

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the first on the ring that is eligible and not full."""
        if not request.affinity_key:
            return Pick(eligible.slots[int(self.rng.random() * len(eligible.slots))], "no-key")
        ring = self._ring
        if ring is None or self._version != fleet.version:
            ring = self._ring = Ring(fleet)
            self._version = fleet.version
            self._eligible = None
        if eligible is not self._eligible:
            self._total_weight = sum(map(fleet.weights.__getitem__, eligible.slots))
            self._eligible = eligible
        requests, members = fleet.requests, eligible.members
        allowed = 0.0  # a share of weight 1 of the load; summed up only for a replica that has much to do
        first = -1
        full: set[int] = set()
        for slot in ring.walk(hash_key(request.affinity_key)):
            if slot not in members or slot in full:
                continue
            waiting = requests[slot]
            if waiting >= NEVER_FULL and not allowed:
                allowed = self.load_factor * (fleet.in_flight(eligible) + 1) / self._total_weight
            if waiting < NEVER_FULL or waiting < math.ceil(allowed * fleet.weights[slot]):
                return Pick(slot, "ring" if first in (-1, slot) else "ring-next", (slot,), (waiting,))
            first = slot if first < 0 else first
            full.add(slot)
            if len(full) == len(members):
                break
        # Capacities add up to more than the load, so this is reached only by a ring that lacks a slot.
        return Pick(first if first >= 0 else eligible.slots[0], "ring-full")
