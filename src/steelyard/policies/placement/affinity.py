"""Affinity: near the tasks that a task wants to be with, never on a node with those it must not meet.

Source: Kubernetes' inter-pod affinity. A claim names keys that other tasks carry. Anti-affinity is a
filter, which every policy obeys. Affinity scores: each task with a wanted key counts 1 on the same node,
0.1 in the same rack, 0.01 in the same zone, whatever their number elsewhere. Ties go to the fuller node,
then to the first by name, or to one at random. Cost: linear in nodes, for any node may hold such tasks; that
of best fit for a task that names no keys.
"""

from collections import Counter

from steelyard.model.node import RACK, ZONE
from steelyard.model.placement_policy import Claim, NodeColumns, Placement, Refusal, demand_of
from steelyard.policies.fit import fullness
from steelyard.policies.selection import Selection, best_of
from steelyard.policies.settings import PlacementSettings

NEARNESS = {RACK: 0.1, ZONE: 0.01}


class Affinity:
    """Keep together what wants to be together."""

    __slots__ = ("_plain", "_rng")

    def __init__(self, settings: PlacementSettings) -> None:
        self._rng = settings.tie_rng
        self._plain = Selection("affinity", fullness, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place nearest to the tasks with the wanted keys."""
        if not claim.affinity_keys:
            return self._plain.place(claim, table)
        demand = demand_of(claim.demand)
        full, near = fullness(demand, table), _Nearness(claim.affinity_keys, table)
        return best_of("affinity", claim, table, lambda row: (near(row), full(row)), self._rng)


class _Nearness:
    """How many tasks with wanted keys are on a node, in its rack and in its zone."""

    def __init__(self, keys: tuple[str, ...], table: NodeColumns) -> None:
        self._table = table
        self._on = [0] * len(table.node_ids)
        self._by_label = {label: Counter[str]() for label in NEARNESS}
        for row in table.rows():
            counts = table.key_counts[row]
            on = self._on[row] = sum(counts.get(key, 0) for key in keys)
            for label, totals in self._by_label.items():
                totals[table.labels[row].get(label, "")] += on

    def __call__(self, row: int) -> float:
        labels = self._table.labels[row]
        return self._on[row] + sum(
            weight * self._by_label[label][labels[label]]
            for label, weight in NEARNESS.items()
            if labels.get(label)
        )
