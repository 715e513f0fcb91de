"""Topology: a job's tasks close together (pack), or far apart (spread).

Source: Kueue's topology-aware scheduling (rack, then host) and Kubernetes' topology spread. Pack scores
where the job's tasks already are: the same node, else the same rack, else the same zone; a job's first task
goes to the rack with the most room for its like, so that the rest can follow. Spread takes the zone with
the fewest tasks of the job, then the rack, then the node. Ties go to the fuller node when packing, to the
emptier when spreading, then to the first by name, or to one at random. Cost: linear in nodes.
"""

from collections import Counter

from steelyard.model.chance import Rng
from steelyard.model.node import RACK, ZONE
from steelyard.model.placement_policy import Claim, Demand, NodeColumns, Placement, Refusal, demand_of
from steelyard.policies.fit import fullness
from steelyard.policies.selection import best_of
from steelyard.policies.settings import PlacementSettings


class TopologyPack:
    """Keep a job in one rack, else in one zone."""

    __slots__ = ("_rng",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._rng: Rng | None = settings.tie_rng

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place nearest to the job's other tasks."""
        demand = demand_of(claim.demand)
        full, on = fullness(demand, table), _tasks_of_job(claim, table)
        racks, zones = _by_label(on, RACK, table), _by_label(on, ZONE, table)
        if not any(on.values()):
            rooms = _rooms(demand, table)
            return best_of(
                "topology-pack",
                claim,
                table,
                lambda row: (rooms[_label(table, row, RACK)], full(row)),
                self._rng,
            )

        def score(row: int) -> tuple[float, ...]:
            in_rack, in_zone = racks[_label(table, row, RACK)], zones[_label(table, row, ZONE)]
            return (in_rack > 0, in_zone > 0, on[row], full(row))

        return best_of("topology-pack", claim, table, score, self._rng)


class TopologySpread:
    """Let no zone, rack or node hold more of a job than it must."""

    __slots__ = ("_rng",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._rng: Rng | None = settings.tie_rng

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place farthest from the job's other tasks."""
        full, on = fullness(demand_of(claim.demand), table), _tasks_of_job(claim, table)
        racks, zones = _by_label(on, RACK, table), _by_label(on, ZONE, table)

        def score(row: int) -> tuple[float, ...]:
            in_zone, in_rack = zones[_label(table, row, ZONE)], racks[_label(table, row, RACK)]
            return (-in_zone, -in_rack, -on[row], -full(row))

        return best_of("topology-spread", claim, table, score, self._rng)


def _label(table: NodeColumns, row: int, name: str) -> str:
    # Nodes that do not say where they stand are each a place of their own.
    return table.labels[row].get(name) or f"node {table.node_ids[row]}"


def _tasks_of_job(claim: Claim, table: NodeColumns) -> Counter[int]:
    key = f"job={claim.job_id}"
    return Counter({row: table.key_counts[row].get(key, 0) for row in table.rows()} if claim.job_id else {})


def _by_label(on: Counter[int], name: str, table: NodeColumns) -> Counter[str]:
    totals: Counter[str] = Counter()
    for row, count in on.items():
        totals[_label(table, row, name)] += count
    return totals


def _rooms(demand: Demand, table: NodeColumns) -> Counter[str]:
    """By rack, how many tasks like this one fit."""
    rooms: Counter[str] = Counter()
    for row in table.rows():
        if table.usable[row] and table.cpu_free[row] >= demand.cpu_milli:
            rooms[_label(table, row, RACK)] += _fitting(demand, table, row)
    return rooms


def _fitting(demand: Demand, table: NodeColumns, row: int) -> int:
    if demand.devices:
        return sum(free >= demand.share for free in table.devices[row]) // demand.devices
    return table.cpu_free[row] // max(1, demand.cpu_milli)
