"""Best fit: the node that would be left with the least, so that large tasks still find large gaps.

Source: bin packing's best fit, with the score of the openb experiments (Weng et al., USENIX ATC 2023): what
would be left of CPU and GPUs as shares of the largest node's, in steps of 1 %. Ties go to the first by
name, or to one at random. Cost: O(log n) for each node that changed since this shape's last claim.
"""

from math import floor

from steelyard.model.placement_policy import Claim, Demand, NodeColumns, Placement, Refusal
from steelyard.policies.fit import fullness
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings


class BestFit:
    """Fill the fullest node that suffices."""

    __slots__ = ("_selection",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._selection = Selection("best-fit", _scoring, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place on the node with the least left."""
        return self._selection.place(claim, table)


def _scoring(demand: Demand, table: NodeColumns) -> Score:
    full = fullness(demand, table)
    return lambda row: floor(full(row))
