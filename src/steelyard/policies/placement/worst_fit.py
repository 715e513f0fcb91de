"""Worst fit: the node that would be left with the most, so that load spreads evenly.

Source: bin packing's worst fit; Kubernetes calls it LeastAllocated. The score is best fit's, negated, in
steps of 1 %. Ties go to the first by name, or to one at random. Cost: O(log n) for each node that changed.
"""

from math import floor

from steelyard.model.placement_policy import Claim, Demand, NodeColumns, Placement, Refusal
from steelyard.policies.fit import fullness
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings


class WorstFit:
    """Spread over the emptiest nodes."""

    __slots__ = ("_selection",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._selection = Selection("worst-fit", _scoring, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place on the node with the most left."""
        return self._selection.place(claim, table)


def _scoring(demand: Demand, table: NodeColumns) -> Score:
    full = fullness(demand, table)
    return lambda row: -floor(full(row))
