"""Weighted least requests: the fewest requests in flight, this one included, for its weight.

(requests + 1) / weight, as Envoy's least_request does with unequal weights and active_request_bias 1.0:
counting the request to come keeps an idle light replica from being preferred to an idle heavy one. Ties
go to one at random. Cost: it must look at all eligible replicas.
"""

from dataclasses import dataclass

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.ties import least_slot


@dataclass(slots=True)
class WeightedLeastRequests:
    """Join the shortest queue, by weight."""

    rng: Rng

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the least (requests + 1) / weight."""
        requests, weights = fleet.requests, fleet.weights

        def load_of(slot: int) -> float:
            return (requests[slot] + 1) / weights[slot]

        slot = least_slot(eligible.slots, load_of, self.rng)
        return Pick(slot, "weighted-least-requests", (slot,), (load_of(slot),))
