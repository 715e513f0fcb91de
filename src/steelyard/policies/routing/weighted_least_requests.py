"""Weighted least requests: the fewest requests in flight, this one included, for its weight.

(requests + 1) / weight, as Envoy's least_request does with unequal weights and active_request_bias 1.0:
counting the request to come keeps an idle light replica from being preferred to an idle heavy one. Ties
go to one at random. Cost: it must look at all eligible replicas.
"""

from dataclasses import dataclass

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.request import Request
from steelyard.model.routing_policy import Pick


@dataclass(slots=True)
class WeightedLeastRequests:
    """Join the shortest queue, by weight."""

    rng: Rng

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the least (requests + 1) / weight."""
        requests, weights = fleet.requests, fleet.weights
        ties: list[int] = []
        least = 0.0
        for slot in eligible.slots:
            load = (requests[slot] + 1) / weights[slot]
            if not ties or load < least:
                least, ties = load, [slot]
            elif load == least:
                ties.append(slot)
        slot = ties[0] if len(ties) == 1 else ties[int(self.rng.random() * len(ties))]
        return Pick(slot, "weighted-least-requests", (slot,), (least,))
