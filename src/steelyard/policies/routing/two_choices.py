"""Power of two choices: sample two replicas, keep the one with fewer requests in flight.

Two samples shorten the longest queues exponentially, a third adds little (Mitzenmacher, IEEE TPDS
12(10), 2001). Ties go to the first sample, which is random. Cost: two draws.
"""

from dataclasses import dataclass

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.ties import two_slots


@dataclass(slots=True)
class TwoChoices:
    """Two random choices, by requests."""

    rng: Rng

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the less busy of two."""
        first, second = two_slots(eligible.slots, self.rng)
        one, two = fleet.requests[first], fleet.requests[second]
        return Pick(second if two < one else first, "two-choices", (first, second), (one, two))
