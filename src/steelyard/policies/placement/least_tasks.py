"""Least tasks: the node on which the fewest tasks run, whatever they ask for.

Source: the seed (section 3.2, least connections). Ties go to the first by name, or to one at random. Cost:
O(log n) for each node that changed.
"""

from steelyard.model.placement_policy import Claim, Demand, NodeColumns, Placement, Refusal
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings


class LeastTasks:
    """Count tasks."""

    __slots__ = ("_selection",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._selection = Selection("least-tasks", _scoring, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place on the node with the fewest tasks."""
        return self._selection.place(claim, table)


def _scoring(demand: Demand, table: NodeColumns) -> Score:
    counts = table.task_counts
    return lambda row: -counts[row]
