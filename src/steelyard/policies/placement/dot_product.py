"""Dot product: the node where what is free has the least in common with what is asked.

Source: Tetris (Grandl et al., SIGCOMM 2014) as the openb experiments use it: a small product of free and
wanted shares is preferred, in steps of 1 %, which keeps nodes that are rich in a resource for the tasks
that want it. Ties go to the first by name, or to one at random. Cost: O(log n) for each node that changed.
"""

from math import floor

from steelyard.model.placement_policy import Claim, Demand, NodeColumns, Placement, Refusal
from steelyard.policies.fit import alignment
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings


class DotProduct:
    """Take from the node that has least of what is asked."""

    __slots__ = ("_selection",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._selection = Selection("dot-product", _scoring, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place where free and wanted are least aligned."""
        return self._selection.place(claim, table)


def _scoring(demand: Demand, table: NodeColumns) -> Score:
    aligned = alignment(demand, table)
    return lambda row: floor(aligned(row))
