"""Data locality: where the most of a task's data is, or is near.

Source: delay scheduling's levels (Zaharia et al., EuroSys 2010): a byte on the node counts 1, in its rack
0.5, in its zone 0.25. A place of the claim's data is a node's, a rack's or a zone's name; when several
copies count for a node, the nearest does. Ties go to the fuller node, then to the first by name, or to one
at random. Cost: linear in nodes; that of best fit for a task without data.
"""

from steelyard.model.node import RACK, ZONE
from steelyard.model.placement_policy import Claim, NodeColumns, Placement, Refusal, demand_of
from steelyard.policies.fit import fullness
from steelyard.policies.selection import Selection, best_of
from steelyard.policies.settings import PlacementSettings

RACK_WEIGHT, ZONE_WEIGHT = 0.5, 0.25


class DataLocality:
    """Bring the task to its data."""

    __slots__ = ("_plain", "_rng")

    def __init__(self, settings: PlacementSettings) -> None:
        self._rng = settings.tie_rng
        self._plain = Selection("data-locality", fullness, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place where the most bytes are near."""
        if not claim.data_bytes:
            return self._plain.place(claim, table)
        full, held = fullness(demand_of(claim.demand), table), claim.data_bytes

        def score(row: int) -> tuple[float, ...]:
            labels = table.labels[row]
            near = max(
                held.get(table.node_ids[row], 0.0),
                RACK_WEIGHT * held.get(labels.get(RACK, ""), 0.0),
                ZONE_WEIGHT * held.get(labels.get(ZONE, ""), 0.0),
            )
            return (near, full(row))

        return best_of("data-locality", claim, table, score, self._rng)
