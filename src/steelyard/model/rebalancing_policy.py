"""What a rebalancing policy is: it looks at what runs and proposes what should run elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from steelyard.model.job import RunningJob
from steelyard.model.placement_policy import Claim, NodeColumns, Placement, PlacementPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One task that should move.

    gain_s: time that its job is expected to save; cost_s: checkpoint and restart.
    """

    job_id: str
    task_id: str
    from_node_id: str
    to: Placement
    gain_s: float
    cost_s: float
    reason: str


class Trial(NodeColumns, Protocol):
    """A table on which moves may be tried; the planner undoes what a policy leaves on it."""

    def begin_trial(self) -> int:
        """Start to note changes; return the mark to go back to."""
        ...

    def roll_back(self, mark: int) -> None:
        """Undo what was done since the mark."""
        ...

    def accept(self) -> None:
        """Keep what was done since the last mark."""
        ...

    def reserve(self, placement: Placement, claim: Claim) -> object:
        """Hold a place."""
        ...

    def release(self, task_id: str) -> object:
        """Give a place back."""
        ...


class RebalancingPolicy(Protocol):
    """Decide what leaves where. No I/O, no clock, no chance; it may remember when it last moved what."""

    def proposals(
        self, running: Sequence[RunningJob], table: Trial, placement: PlacementPolicy, now_s: float
    ) -> list[Proposal]:
        """Moves that pay, at most as many as its budget allows. What is proposed is reserved on `table`."""
        ...
