"""Least stranding: the node where the fewest GPUs are expected to stay idle for good because of this task.

steelyard's own. Where FGD looks at what the next task cannot use, this looks at what is left after the
tasks to come, CPU running out before GPUs included (`policies.stranding`). So tasks that want little CPU go
where CPU is scarce, tasks without GPUs where it is plenty, shares beside shares that they fill up with, and
whole nodes and rare GPU models stay for those that need them. Equal to 0.001 points, the fuller node wins;
then the first by name, or one at random, which here makes no difference. Cost: a few look-ups for each node
that changed.
"""

from steelyard.model.placement_policy import (
    WHOLE_GPU,
    Claim,
    Demand,
    NodeColumns,
    Placement,
    Refusal,
    demand_of,
)
from steelyard.policies.feasibility import share_on, tightest_devices
from steelyard.policies.fit import fullness
from steelyard.policies.request_mix import RequestMix
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings
from steelyard.policies.stranding import UNIT, Stranding

FULLNESS_WEIGHT = 0.001


class LeastStranding:
    """Strand as little as can be."""

    __slots__ = ("_layout", "_mix", "_selection", "_stranding", "_table")

    def __init__(self, settings: PlacementSettings) -> None:
        self._mix: RequestMix = settings.mix
        self._table: NodeColumns | None = None
        self._layout = -1
        self._stranding = Stranding({}, {})
        self._selection = Selection("least-stranding", self._scoring, self._devices, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place where the least is stranded."""
        due = self._mix.observe(claim, demand_of(claim.demand))
        if due or table is not self._table or table.layout != self._layout:
            self._table, self._layout = table, table.layout
            self._stranding = Stranding(self._mix.weights, _largest_nodes(table))
            self._selection.forget()
        return self._selection.place(claim, table)

    def _scoring(self, demand: Demand, table: NodeColumns) -> Score:
        full = fullness(demand, table)
        stranded = self._stranded_for_shares if _is_shared(demand) else self._stranded_for_whole

        def score(row: int) -> float:
            if not table.devices[row]:
                return round(FULLNESS_WEIGHT * full(row), 3)
            return round(FULLNESS_WEIGHT * full(row) - stranded(demand, table, row), 3)

        return score

    def _stranded_for_whole(self, demand: Demand, table: NodeColumns, row: int) -> float:
        """How much more is stranded with whole GPUs, or none, taken."""
        tables = self._stranding.of(table.gpu_models[row])
        free, cpu = table.devices[row], table.cpu_free[row]
        before = tables.amount(cpu, free)
        if not demand.devices:
            return tables.amount(cpu - demand.cpu_milli, free) - before
        after = list(free)
        for _ in range(demand.devices):
            after.remove(WHOLE_GPU)
        return tables.amount(cpu - demand.cpu_milli, after) - before

    def _stranded_for_shares(self, demand: Demand, table: NodeColumns, row: int) -> float:
        return self._best_device(demand, table, row)[0]

    def _best_device(self, demand: Demand, table: NodeColumns, row: int) -> tuple[float, int]:
        """The least that more is stranded, and the room of the device on which it is."""
        tables = self._stranding.of(table.gpu_models[row])
        free, cpu = table.devices[row], table.cpu_free[row]
        share = share_on(demand, table.device_memory[row])
        device, pool, whole = tables.device, tables.pool, free.count(WHOLE_GPU)
        best = (float("inf"), 0)
        for room in set(free):
            if room < share:
                continue
            lost = pool[whole] - pool[whole - 1] if room == WHOLE_GPU else device[room // UNIT]
            best = min(best, (device[(room - share) // UNIT] - lost, room))
        volume = sum(free)
        starved, step = tables.starved, tables.gpu_step
        after = starved[(cpu - demand.cpu_milli) // tables.cpu_step][(volume - share) // step]
        return best[0] + after - starved[cpu // tables.cpu_step][volume // step], best[1]

    def _devices(self, demand: Demand, table: NodeColumns, row: int) -> tuple[int, ...]:
        if not _is_shared(demand):
            return tightest_devices(demand, table, row)
        return (table.devices[row].index(self._best_device(demand, table, row)[1]),)


def _is_shared(demand: Demand) -> bool:
    return bool(demand.devices) and demand.share < WHOLE_GPU


def _largest_nodes(table: NodeColumns) -> dict[str, tuple[int, int]]:
    """By GPU model the most CPU and the most devices of a node."""
    most: dict[str, tuple[int, int]] = {}
    for row in table.rows():
        cpu, devices = most.get(table.gpu_models[row], (0, 0))
        most[table.gpu_models[row]] = (max(cpu, table.cpu_total[row]), max(devices, len(table.devices[row])))
    return most
