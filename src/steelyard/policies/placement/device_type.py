"""Device type: the kind of machine that is wanted first, or, when any will do, the most modest that suffices.

Source: Kueue's resource flavours, tried in the order in which they are given. A claim that names GPU models
gets the first named that has room; one that names none gets the GPUs with the least memory that suffices,
so that the larger ones stay free for those that need them; one without GPUs gets a node without. Ties go to
the fuller node, then to the first by name, or to one at random. Cost: that of best fit, for a task
that names models also a look at whether any node with such GPUs fits.
"""

from collections.abc import Iterator, Mapping

from steelyard.model.placement_policy import Claim, Demand, NodeColumns, Placement, Refusal
from steelyard.policies.fit import fullness
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings
from steelyard.policies.tiers import Places, Tier, TieredSelection

STEP = 1000.0  # above any fullness, which is in percent


class DeviceType:
    """Give each the kind that it needs, and no better."""

    __slots__ = ("_plain", "_tiers")

    def __init__(self, settings: PlacementSettings) -> None:
        self._plain = Selection("device-type", _modest, rng=settings.tie_rng)
        self._tiers = TieredSelection(Selection("device-type", fullness, rng=settings.tie_rng))

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place on the first wanted, or the most modest, kind of device."""
        if not claim.gpu_models or not claim.demand.gpus:
            return self._plain.place(claim, table)
        order = {model: -at for at, model in enumerate(claim.gpu_models)}

        def wanted(row: int) -> tuple[float, ...]:
            return (order.get(table.gpu_models[row], 0), -table.device_memory[row])

        tiers = _as_wanted(order, self._tiers.places(table))
        return self._tiers.place(claim, table, tiers, wanted)


def _as_wanted(order: Mapping[str, int], places: Places) -> Iterator[Tier]:
    """Model by model, of each the GPUs with the least memory first."""
    kinds = [kind for kind in places.by_device if kind[0] in order]
    for model, size_bytes in sorted(kinds, key=lambda kind: (-order[kind[0]], kind[1])):
        yield Tier(float(order[model]), places.by_device[model, size_bytes])


def _modest(demand: Demand, table: NodeColumns) -> Score:
    """The fewer, or the smaller, the GPUs of a node, the better; then the fuller the node."""
    full = fullness(demand, table)
    if not demand.devices:
        return lambda row: full(row) - STEP * len(table.devices[row])
    rank = {size: at for at, size in enumerate(sorted(set(table.device_memory)))}
    return lambda row: full(row) - STEP * rank[table.device_memory[row]]
