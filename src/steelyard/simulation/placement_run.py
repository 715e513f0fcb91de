"""One policy, one load, one seed: tasks are placed as they come, and what does not fit is dropped."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from steelyard.cluster.node_table import NodeTable
from steelyard.model.node import Node
from steelyard.model.placement_policy import WHOLE_GPU, Demand, Placement, PlacementPolicy, demand_of
from steelyard.policies.fragmentation import Fragmentation
from steelyard.simulation.cluster_load import Event

SAMPLES_A_CLUSTER = 100
"""Points of the curve a cluster's worth of arrived demand: one a percent."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The cluster when `arrived` (a share of its capacity) had been asked for in all."""

    arrived: float
    allocated: float
    fragmented: float


@dataclass(slots=True, kw_only=True)
class PlacementRun:
    """What came of it. Shares are of GPUs, or of cores in a cluster without GPUs.

    allocated: share of capacity reserved at the end; mean_allocated: over all arrivals.
    refused_share: of what was asked for, what found no place. refusals: by the reason that ruled out most
    nodes. model_used: share in use at the end by GPU model. node_used: the same by node.
    """

    arrivals: int = 0
    refused: int = 0
    arrived: float = 0.0
    allocated: float = 0.0
    mean_allocated: float = 0.0
    refused_share: float = 0.0
    fragmented: float = 0.0
    curve: list[Sample] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    model_used: dict[str, float] = field(default_factory=dict)
    node_used: list[float] = field(default_factory=list)

    def allocated_at(self, arrived: float) -> float:
        """Share allocated when this share of capacity had been asked for; the last known beyond the end."""
        reached = [sample for sample in self.curve if sample.arrived <= arrived + 0.5 / SAMPLES_A_CLUSTER]
        return reached[-1].allocated if reached else 0.0


def place_all(
    nodes: Sequence[Node],
    events: Iterable[Event],
    policy: PlacementPolicy,
    fragmentation: Fragmentation,
    on_event: Callable[[], None] | None = None,
) -> PlacementRun:
    """Run a load to its end."""
    placing = _Placing(NodeTable(nodes), fragmentation)
    for event in events:
        placing.take(event, policy)
        if on_event is not None:
            on_event()
    return placing.finish()


class _Placing:
    """The cluster while a load runs."""

    def __init__(self, table: NodeTable, fragmentation: Fragmentation) -> None:
        self._table = table
        self._fragmentation = fragmentation
        self._run = PlacementRun()
        self._by_gpu = any(table.devices)
        self._capacity = sum(map(self._total, table.rows()))
        self._arrived = self._used = self._refused = self._used_sum = 0
        self._next_sample = 0
        self._frag = _FragmentedNodes(table, fragmentation)

    def _total(self, row: int) -> int:
        return WHOLE_GPU * len(self._table.devices[row]) if self._by_gpu else self._table.cpu_total[row]

    def take(self, event: Event, policy: PlacementPolicy) -> None:
        table, run = self._table, self._run
        if event.claim is None:
            if event.task_id in table.reservations:
                self._used -= self._amount(table.release(event.task_id).demand)
            return
        run.arrivals += 1
        amount = self._amount(demand_of(event.claim.demand))
        self._arrived += amount
        placed = policy.place(event.claim, table, 0.0)
        if isinstance(placed, Placement):
            table.reserve(placed, event.claim)
            self._used += amount
        else:
            run.refused += 1
            self._refused += amount
            run.refusals[next(iter(placed.counts), "no nodes")] += 1
        self._used_sum += self._used
        self._sample()

    def _amount(self, demand: Demand) -> int:
        return demand.gpu_milli if self._by_gpu else demand.cpu_milli

    def _sample(self) -> None:
        if self._arrived * SAMPLES_A_CLUSTER < self._next_sample * self._capacity:
            return
        self._next_sample = self._arrived * SAMPLES_A_CLUSTER // self._capacity + 1
        arrived, used = self._arrived / self._capacity, self._used / self._capacity
        self._run.curve.append(Sample(arrived, used, self._frag.share(self._capacity)))

    def finish(self) -> PlacementRun:
        run, table = self._run, self._table
        run.arrived = self._arrived / self._capacity
        run.allocated = self._used / self._capacity
        run.mean_allocated = self._used_sum / self._capacity / max(1, run.arrivals)
        run.refused_share = self._refused / max(1, self._arrived)
        run.fragmented = self._frag.share(self._capacity)
        resource = "gpus" if self._by_gpu else "cpu_cores"
        run.node_used = [table.used_fraction(row, resource) for row in table.rows()]
        totals: Counter[str] = Counter()
        used: Counter[str] = Counter()
        for row in table.rows():
            model, total = table.gpu_models[row] or "-", self._total(row)
            totals[model] += total
            used[model] += round(total * table.used_fraction(row, resource))
        run.model_used = {model: used[model] / totals[model] for model in sorted(totals) if totals[model]}
        return run


class _FragmentedNodes:
    """The sum of fragmentation over nodes, kept up to date from what changed."""

    def __init__(self, table: NodeTable, fragmentation: Fragmentation) -> None:
        self._table = table
        self._fragmentation = fragmentation
        self._amounts = [0.0] * len(table.node_ids)
        self._position = table.position
        for row in table.rows():
            self._amounts[row] = self._of(row)

    def _of(self, row: int) -> float:
        table = self._table
        free = table.devices[row]
        return self._fragmentation.amount(table.gpu_models[row], table.cpu_free[row], free) if free else 0.0

    def share(self, capacity: int) -> float:
        changed = self._table.changed_since(self._position)
        self._position = self._table.position
        for row in self._table.rows() if changed is None else set(changed):
            self._amounts[row] = self._of(row)
        return sum(self._amounts) / capacity
