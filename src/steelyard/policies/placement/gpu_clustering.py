"""GPU clustering: tasks of one GPU class (a share, one, two, ...) together, so that gaps keep useful sizes.

Source: the openb experiments' GpuClustering (Weng et al., USENIX ATC 2023). Up to 100 on nodes that hold
only this class, 75 on nodes that hold it among others, 50 on nodes without GPU tasks, 25 on the rest, each
less up to 25 for free GPUs (in whole points, over eight GPUs). Ties go to the first by name, or to one at
random. Cost: O(log n) for each node that changed.
"""

from steelyard.model.placement_policy import WHOLE_GPU, Claim, Demand, NodeColumns, Placement, Refusal
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings


class GpuClustering:
    """Keep like with like."""

    __slots__ = ("_selection",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._selection = Selection("gpu-clustering", _scoring, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place beside tasks of the same GPU class."""
        return self._selection.place(claim, table)


def _scoring(demand: Demand, table: NodeColumns) -> Score:
    own = demand.devices if demand.share == WHOLE_GPU else 0
    most = WHOLE_GPU * max(8, max((len(each) for each in table.devices), default=0))
    classes, gpu_free = table.gpu_classes, table.gpu_free

    def score(row: int) -> float:
        held = classes[row]
        step = _step(own in held, len(held))
        return step + 25 * (most - gpu_free[row]) // most

    return score if demand.devices else lambda row: 0.0


def _step(held: bool, classes: int) -> int:
    if held:
        return 75 if classes == 1 else 50
    return 0 if classes else 25
