"""GPU packing: GPUs that are shared already first, then free ones of nodes in use, untouched nodes last.

Source: the openb experiments' GpuPacking (Weng et al., USENIX ATC 2023). Scores: on shared GPUs 100 less a
tenth of the percentage that is free on them; on w whole ones of a node in use 50 − w, at least 33; on an
untouched node 33 less its GPUs; tasks without GPUs score the same everywhere. Ties go to the first by name,
or to one at random. Cost: O(log n) for each node that changed.
"""

from steelyard.model.placement_policy import WHOLE_GPU, Claim, Demand, NodeColumns, Placement, Refusal
from steelyard.policies.feasibility import share_on
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings


class GpuPacking:
    """Break into as few whole GPUs and nodes as can be."""

    __slots__ = ("_selection",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._selection = Selection("gpu-packing", _scoring, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place on shared GPUs, used nodes, untouched nodes, in this order."""
        return self._selection.place(claim, table)


def _scoring(demand: Demand, table: NodeColumns) -> Score:
    devices, memory = table.devices, table.device_memory

    def score(row: int) -> float:
        free = devices[row]
        whole = free.count(WHOLE_GPU)
        if whole == len(free):
            return max(33 - whole, whole)
        share = share_on(demand, memory[row])
        taken = sorted(room for room in free if room >= share)[: demand.devices]
        whole_taken = taken.count(WHOLE_GPU)
        if whole_taken:
            return max(50 - whole_taken, 33)
        return max(100 - sum(room * 100 // WHOLE_GPU for room in taken) // 10, 50)

    return score if demand.devices else lambda row: 0.0
