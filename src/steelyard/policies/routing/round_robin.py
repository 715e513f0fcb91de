"""Round robin: each eligible replica in turn.

The turn starts at a random place, so that several workers do not walk in step. When the eligible set
changes, the turn goes on from the same place in the new one. No ties. Cost: one addition.
"""

from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request


@dataclass(slots=True)
class RoundRobin:
    """In turn, without weights."""

    rng: Rng
    _turn: int = field(init=False)

    def __post_init__(self) -> None:
        self._turn = self.rng.randrange(1 << 30)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the next."""
        self._turn += 1
        return Pick(eligible.slots[self._turn % len(eligible.slots)], "turn")
