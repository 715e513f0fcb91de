"""Least stranding: the node where the fewest GPUs are expected to stay idle for good because of this task.

steelyard's own. FGD looks at what the next task cannot use; this looks at what is left after the tasks to
come, CPU that runs out before GPUs included (`policies.stranding`), and adds what the task takes from
others that have less
choice: GPUs of a wanted model, and room for large tasks (`policies.scarcity`). So tasks that want little
    CPU go where CPU is scarce, tasks without GPUs where it is plenty, shares beside shares that they fill
    up with, and whole nodes and rare models stay for those that need them. A tenth of a GPU is given for a
    node in full use over an idle one, so that nodes empty again while tasks come and go. Ties go to the
    first by name, or to one at random; with scores this fine it hardly matters. Cost: a few look-ups for
    each node that changed.
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
from steelyard.policies.scarcity import Hardware, Scarcity, hardware_of
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings
from steelyard.policies.stranding import UNIT, Stranding

USE_WEIGHT = 0.1
"""GPUs that full use of the node is worth."""


class LeastStranding:
    """Strand as little as can be."""

    __slots__ = ("_kinds", "_layout", "_mix", "_scarcity", "_selection", "_stranding", "_table")

    def __init__(self, settings: PlacementSettings) -> None:
        self._mix: RequestMix = settings.mix
        self._table: NodeColumns | None = None
        self._layout = -1
        self._stranding = Stranding({}, ())
        self._scarcity = Scarcity({}, {})
        self._kinds: dict[int, Hardware] = {}
        self._selection = Selection("least-stranding", self._scoring, self._devices, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place where the least is stranded."""
        due = self._mix.observe(claim, demand_of(claim.demand))
        if due or table is not self._table or table.layout != self._layout:
            self._learn(table)
        return self._selection.place(claim, table)

    def _learn(self, table: NodeColumns) -> None:
        self._table, self._layout = table, table.layout
        kinds = hardware_of(table)
        self._stranding = Stranding(self._mix.weights, kinds)
        self._scarcity = Scarcity(self._mix.weights, kinds)
        self._selection.forget()

    def _scoring(self, demand: Demand, table: NodeColumns) -> Score:
        full = fullness(demand, table)
        stranded = self._with_share if _is_shared(demand) else self._with_whole
        devices, gpu_free, models, price = (
            table.devices,
            table.gpu_free,
            table.gpu_models,
            self._scarcity.price,
        )
        gpus = demand.gpu_milli

        def score(row: int) -> float:
            count = len(devices[row])
            if not count:
                return round(full(row) / WHOLE_GPU, 3)
            use = USE_WEIGHT * (WHOLE_GPU - gpu_free[row] / count)
            # In thousandths of a GPU; rounded, for equal nodes must tie whatever they were summed from.
            return round(use - stranded(demand, table, row) - price(models[row]) * gpus, 3)

        return score

    def _with_whole(self, demand: Demand, table: NodeColumns, row: int) -> float:
        """Thousandths of a GPU that are stranded more with whole GPUs, or none, taken."""
        tables = self._stranding.of(table.gpu_models[row])
        free, cpu = table.devices[row], table.cpu_free[row]
        left, whole = cpu - demand.cpu_milli, free.count(WHOLE_GPU)
        after = free
        if demand.devices:
            after = list(free)
            for _ in range(demand.devices):
                after.remove(WHOLE_GPU)
        more = tables.amount(left, after) - tables.amount(cpu, free)
        room = self._scarcity.room(_kind(table, row))
        return more + room.lost(left, whole - demand.devices) - room.lost(cpu, whole)

    def _with_share(self, demand: Demand, table: NodeColumns, row: int) -> float:
        """Thousandths of a GPU that are stranded more with a share of the best device taken."""
        return self._best_device(demand, table, row)[0]

    def _best_device(self, demand: Demand, table: NodeColumns, row: int) -> tuple[float, int]:
        """The least that more is stranded, and the room of the device on which it is."""
        tables = self._stranding.of(table.gpu_models[row])
        free, cpu = table.devices[row], table.cpu_free[row]
        left, whole = cpu - demand.cpu_milli, free.count(WHOLE_GPU)
        share = share_on(demand, table.device_memory[row])
        device, pool, lost = tables.device, tables.pool, self._scarcity.room(_kind(table, row)).lost
        lost_after = lost(left, whole)
        best = (float("inf"), 0)
        for room in set(free):
            if room < share:
                continue
            more = device[(room - share) // UNIT]
            if room == WHOLE_GPU:
                more += pool[whole - 1] - pool[whole] + lost(left, whole - 1)
            else:
                more += lost_after - device[room // UNIT]
            best = min(best, (more, room))
        volume, step = table.gpu_free[row], tables.gpu_step
        starved = tables.starved[left // tables.cpu_step][(volume - share) // step]
        starved -= tables.starved[cpu // tables.cpu_step][volume // step]
        return best[0] + starved - lost(cpu, whole), best[1]

    def _devices(self, demand: Demand, table: NodeColumns, row: int) -> tuple[int, ...]:
        if not _is_shared(demand):
            return tightest_devices(demand, table, row)
        return (table.devices[row].index(self._best_device(demand, table, row)[1]),)


def _kind(table: NodeColumns, row: int) -> Hardware:
    return Hardware(table.gpu_models[row], len(table.devices[row]), table.cpu_total[row])


def _is_shared(demand: Demand) -> bool:
    return bool(demand.devices) and demand.share < WHOLE_GPU
