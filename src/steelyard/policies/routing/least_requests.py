"""Least requests: the replica with the fewest requests in flight.

Ties go to one at random. Cost: it must look at all eligible replicas; when those are all of a large fleet,
it asks the fleet's order instead, in constant time.
"""

from dataclasses import dataclass

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.ties import least_slot


@dataclass(slots=True)
class LeastRequests:
    """Join the shortest queue, counted in requests."""

    rng: Rng

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the one with the fewest."""
        requests, order = fleet.requests, fleet.order_of(eligible)
        if order is not None:
            slot = order.draw(self.rng)
        else:
            slot = least_slot(eligible.slots, requests.__getitem__, self.rng)
        return Pick(slot, "least-requests", (slot,), (requests[slot],))
