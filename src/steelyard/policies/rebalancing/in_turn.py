"""Several rebalancing policies, one after the other: what the first moves, the next leaves alone.

Ties are the policies' own. Cost: theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.model.job import RunningJob
from steelyard.model.placement_policy import PlacementPolicy
from steelyard.model.rebalancing_policy import Proposal, RebalancingPolicy, Trial


@dataclass(slots=True)
class InTurn:
    """In the order given."""

    policies: tuple[RebalancingPolicy, ...]

    def proposals(
        self, running: Sequence[RunningJob], table: Trial, placement: PlacementPolicy, now_s: float
    ) -> list[Proposal]:
        """All moves; no job moves twice."""
        found: list[Proposal] = []
        for policy in self.policies:
            moving = {each.job_id for each in found}
            rest = [each for each in running if each.job_id not in moving]
            found += policy.proposals(rest, table, placement, now_s)
        return found
