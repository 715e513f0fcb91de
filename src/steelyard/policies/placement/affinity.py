"""Affinity: near the tasks that a task wants to be with, never on a node with those it must not meet.

Source: Kubernetes' inter-pod affinity. A claim names keys that other tasks carry. Anti-affinity is a
filter, which every policy obeys. Affinity scores: each task with a wanted key counts 1 on the same node,
0.1 in the same rack, 0.01 in the same zone, whatever their number elsewhere. Ties go to the fuller node,
then to the first by name, or to one at random. Cost: that of best fit, and a look at the nodes that hold
such tasks and at those of their racks.
"""

from collections import Counter
from collections.abc import Iterator

from steelyard.model.placement_policy import Claim, NodeColumns, Placement, Refusal
from steelyard.policies.fit import fullness
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings
from steelyard.policies.tiers import Place, Places, Tier, TieredSelection, grouped

RACK_WEIGHT, ZONE_WEIGHT = 0.1, 0.01


class Affinity:
    """Keep together what wants to be together."""

    __slots__ = ("_tiers",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._tiers = TieredSelection(Selection("affinity", fullness, rng=settings.tie_rng))

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place nearest to the tasks with the wanted keys."""
        if not claim.affinity_keys:
            return self._tiers.selection.place(claim, table)
        near = _Nearness(claim.affinity_keys, table, self._tiers.places(table))
        return self._tiers.place(claim, table, near.tiers(), lambda row: (near(row),))


class _Nearness:
    """How many tasks with wanted keys are on a node, in its rack and in its zone."""

    def __init__(self, keys: tuple[str, ...], table: NodeColumns, places: Places) -> None:
        self._places = places
        self._on = Counter[int]()
        for key in keys:
            self._on.update(table.key_rows.get(key, {}))
        self._in_rack, self._in_zone = places.around(self._on)

    def __call__(self, row: int) -> float:
        return self._on[row] + self._around(self._places.of_row[row])

    def _around(self, place: Place) -> float:
        return RACK_WEIGHT * self._in_rack[place[0]] + ZONE_WEIGHT * self._in_zone[place[1]]

    def tiers(self) -> Iterator[Tier]:
        """Nodes that hold such tasks, racks and zones that do, then all nodes."""
        holders, around = grouped(self._on, self), grouped(self._places.by_place, self._around)
        around.pop(0.0, None)
        for value in sorted({*holders, *around}, reverse=True):
            # Rows with such tasks stand in these places, too: they were looked at before.
            rows = self._places.rows(around.get(value, ()))
            yield Tier(value, [*holders.get(value, ()), *rows] if value in holders else rows)
        yield Tier(0.0)
