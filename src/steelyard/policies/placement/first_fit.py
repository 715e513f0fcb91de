"""First fit: the first node by name that suffices; simple, and packs well enough to be hard to beat.

Source: bin packing's first fit. Ties are the whole policy: by name always (at random it would be `random`).
Cost: O(log n) for each node that changed.
"""

from steelyard.model.placement_policy import Claim, Demand, NodeColumns, Placement, Refusal
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings


class FirstFit:
    """Take the first that fits."""

    __slots__ = ("_selection",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._selection = Selection("first-fit", _scoring)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place on the first fitting node by name."""
        return self._selection.place(claim, table)


def _scoring(demand: Demand, table: NodeColumns) -> Score:
    return lambda row: 0.0
