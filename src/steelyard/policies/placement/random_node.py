"""Random: each node that suffices is equally likely, and so is each GPU on it: the yardstick for the others.

Source: the openb experiments' Random. There are only ties. Cost: O(1) for each node that changed.
"""

from steelyard.model.chance import Rng
from steelyard.model.placement_policy import Claim, Demand, NodeColumns, Placement, Refusal
from steelyard.policies.feasibility import share_on, tightest_devices
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings


class RandomNode:
    """Take any that fits."""

    __slots__ = ("_rng", "_selection")

    def __init__(self, settings: PlacementSettings) -> None:
        self._rng: Rng = settings.rng
        self._selection = Selection("random", _scoring, self._devices, rng=settings.rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place on a fitting node at random."""
        return self._selection.place(claim, table)

    def _devices(self, demand: Demand, table: NodeColumns, row: int) -> tuple[int, ...]:
        if demand.devices != 1:
            return tightest_devices(demand, table, row)
        share = share_on(demand, table.device_memory[row])
        fitting = [at for at, room in enumerate(table.devices[row]) if room >= share]
        return (fitting[self._rng.randrange(len(fitting))],)


def _scoring(demand: Demand, table: NodeColumns) -> Score:
    return lambda row: 0.0
