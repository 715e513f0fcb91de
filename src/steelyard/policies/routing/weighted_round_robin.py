"""Smooth weighted round robin: in any stretch each replica gets its share, spread out evenly.

Each turn every replica's credit grows by its weight; the one with most credit is picked and pays the
sum of weights (nginx's smooth algorithm, commit 52327e0). With weights 5, 1, 1 the turn is a a b a c a
a, not a a a a a b c. Ties go to one at random. Cost: it must look at all eligible replicas.
"""

from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.ties import one_of


@dataclass(slots=True)
class WeightedRoundRobin:
    """In turn, by weight."""

    rng: Rng
    _credit: dict[int, float] = field(default_factory=dict)
    _eligible: Eligible | None = None

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the one with most credit."""
        credit, weights = self._credit, fleet.weights
        if eligible is not self._eligible:
            # Those that left lose their credit: one that comes back must not be owed a burst.
            self._credit = credit = {slot: credit.get(slot, 0.0) for slot in eligible.slots}
            self._eligible = eligible
        total = 0.0
        most = -1e300
        ties: list[int] = []
        for slot in eligible.slots:
            weight = weights[slot]
            total += weight
            credit[slot] = owed = credit[slot] + weight
            if owed > most + 1e-9:
                most, ties = owed, [slot]
            elif owed > most - 1e-9:
                ties.append(slot)
        slot = one_of(ties, self.rng)
        credit[slot] -= total
        return Pick(slot, "turn")
