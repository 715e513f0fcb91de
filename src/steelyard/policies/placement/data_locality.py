"""Data locality: where the most of a task's data is, or is near.

Source: delay scheduling's levels (Zaharia et al., EuroSys 2010): a byte on the node counts 1, in its rack
0.5, in its zone 0.25. A place of the claim's data is a node's, a rack's or a zone's name; when several
copies count for a node, the nearest does. Ties go to the fuller node, then to the first by name, or to one
at random. Cost: that of best fit, and a look at the nodes of the places that hold data.
"""

from collections.abc import Iterator, Mapping

from steelyard.model.placement_policy import Claim, NodeColumns, Placement, Refusal
from steelyard.policies.fit import fullness
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings
from steelyard.policies.tiers import Place, Places, Tier, TieredSelection, grouped

RACK_WEIGHT, ZONE_WEIGHT = 0.5, 0.25


class DataLocality:
    """Bring the task to its data."""

    __slots__ = ("_tiers",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._tiers = TieredSelection(Selection("data-locality", fullness, rng=settings.tie_rng))

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place where the most bytes are near."""
        if not claim.data_bytes:
            return self._tiers.selection.place(claim, table)
        places, held = self._tiers.places(table), claim.data_bytes

        def near(row: int) -> tuple[float, ...]:
            return (max(held.get(table.node_ids[row], 0.0), _around(held, places.of_row[row])),)

        tiers = _nearest_first(held, table, places)
        return self._tiers.place(claim, table, tiers, near)


def _around(held: Mapping[str, float], place: Place) -> float:
    """Bytes in a rack and its zone, by their nearness."""
    return max(RACK_WEIGHT * held.get(place[0], 0.0), ZONE_WEIGHT * held.get(place[1], 0.0))


def _nearest_first(held: Mapping[str, float], table: NodeColumns, places: Places) -> Iterator[Tier]:
    """Nodes, racks and zones that hold data of the task, then all nodes."""
    holders: dict[float, list[int]] = {}
    for name, amount in held.items():
        row = table.row_of.get(name)
        # Where its rack or zone holds as much it stands in theirs: twice there, it would win twice the ties.
        if row is not None and amount > _around(held, places.of_row[row]):
            holders.setdefault(amount, []).append(row)
    around = grouped(places.by_place, lambda place: _around(held, place))
    around.pop(0.0, None)
    for value in sorted({*holders, *around}, reverse=True):
        yield Tier(value, [*holders.get(value, ()), *places.rows(around.get(value, ()))])
    yield Tier(0.0)
