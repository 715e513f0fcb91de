"""What a placement policy is made with."""

from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.policies.request_mix import RequestMix


@dataclass(slots=True, kw_only=True)
class PlacementSettings:
    """One set a policy.

    rng: its only source of chance.
    random_ties: whether ties go to one at random; to the first by name otherwise, which packs better.
    mix: what is asked for, as far as it is known; learned from what comes when nothing is said.
    """

    rng: Rng
    random_ties: bool = False
    mix: RequestMix = field(default_factory=RequestMix)

    @property
    def tie_rng(self) -> Rng | None:
        """The generator that breaks ties, or None when names do."""
        return self.rng if self.random_ties else None
