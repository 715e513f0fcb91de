"""Random: each eligible replica is equally likely. No ties. Cost: one draw."""

from dataclasses import dataclass

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request


@dataclass(slots=True)
class RandomChoice:
    """Uniform choice."""

    rng: Rng

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick one at random."""
        return Pick(eligible.slots[int(self.rng.random() * len(eligible.slots))], "random")
