"""Device type: the kind of machine that is wanted first, or, when any will do, the most modest that suffices.

Source: Kueue's resource flavours, tried in the order in which they are given. A claim that names GPU models
gets the first named that has room; one that names none gets the GPUs with the least memory that suffices,
so that the larger ones stay free for those that need them; one without GPUs gets a node without. Ties go to
the fuller node, then to the first by name, or to one at random. Cost: linear in nodes.
"""

from steelyard.model.placement_policy import Claim, NodeColumns, Placement, Refusal, demand_of
from steelyard.policies.fit import fullness
from steelyard.policies.selection import best_of
from steelyard.policies.settings import PlacementSettings


class DeviceType:
    """Give each the kind that it needs, and no better."""

    __slots__ = ("_rng",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._rng = settings.tie_rng

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place on the first wanted, or the most modest, kind of device."""
        demand = demand_of(claim.demand)
        full = fullness(demand, table)
        order = {model: -at for at, model in enumerate(claim.gpu_models)}

        def score(row: int) -> tuple[float, ...]:
            if not demand.devices:
                return (-len(table.devices[row]), full(row))
            return (order.get(table.gpu_models[row], 0), -table.device_memory[row], full(row))

        return best_of("device-type", claim, table, score, self._rng)
