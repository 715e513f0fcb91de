"""Least requests: the replica with the fewest requests in flight.

Ties go to one at random. Cost: it must look at all eligible replicas; when those are all of a large fleet,
it asks the fleet's order instead, in constant time.
"""

from dataclasses import dataclass
from typing import Final

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.fleet_order import FleetOrder
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.ties import least_slot

LARGE: Final = 32  # replicas; a look at fewer costs less than keeping them in order


@dataclass(slots=True)
class LeastRequests:
    """Join the shortest queue, counted in requests."""

    rng: Rng

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the one with the fewest."""
        requests, slots = fleet.requests, eligible.slots
        if len(slots) > LARGE and len(slots) == len(requests):
            order = fleet.order
            if order is None:
                order = fleet.order = FleetOrder(requests)
            slot = order.draw(self.rng)
        else:
            slot = least_slot(slots, requests.__getitem__, self.rng)
        return Pick(slot, "least-requests", (slot,), (requests[slot],))
