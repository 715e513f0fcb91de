"""Least stranding: the node where the fewest GPUs come to be of no use because of this task.

steelyard's own. FGD looks at what the next task cannot use; this also looks at what is left after the tasks
to come, CPU that runs out before GPUs included, and at what the task takes from others that have less
choice (`policies.outlook`): room for large tasks, and GPUs of a model that some insist on. So tasks that
want little CPU go where CPU is scarce, tasks without GPUs where it is plenty, shares beside shares that
they fill up with, and whole nodes and rare models stay for those that need them. An earlier place in the
order of names is worth a little, three GPUs from the first node to the last at most: as with first fit, the
last nodes empty again while tasks come and go. Ties go to the first by name, or to one at random; with scores
this fine there are few. Cost: some look-ups for each node that changed; new tables, a tenth of a second, when
the mix has changed.
"""

from collections.abc import Callable

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
from steelyard.policies.outlook import Outlook, Outlooks
from steelyard.policies.request_mix import RequestMix
from steelyard.policies.scarcity import Hardware, hardware_of
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings

ORDER_STEP, ORDER_MOST = 0.005, 3.0
"""GPUs that a node is worth more than the next one by name; and the first more than the last, at most."""


class LeastStranding:
    """Strand as little as can be."""

    __slots__ = ("_before", "_layout", "_mix", "_outlooks", "_rows", "_selection", "_stamps", "_table")

    def __init__(self, settings: PlacementSettings) -> None:
        self._mix: RequestMix = settings.mix
        self._table: NodeColumns | None = None
        self._layout = -1
        self._outlooks = Outlooks(self._mix, {})
        self._rows: list[Outlook | None] = []
        self._before: list[float] = []
        self._stamps: list[int] = []
        self._selection = Selection("least-stranding", self._scoring, self._devices, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place where the least becomes useless."""
        due = self._mix.observe(claim, demand_of(claim.demand))
        if due or table is not self._table or table.layout != self._layout:
            self._learn(table)
        return self._selection.place(claim, table)

    def _learn(self, table: NodeColumns) -> None:
        """Make the tables anew."""
        self._table, self._layout = table, table.layout
        self._outlooks = Outlooks(self._mix, hardware_of(table))
        self._rows = [None] * len(table.node_ids)
        for row in table.rows():
            if table.devices[row]:
                kind = Hardware(table.gpu_models[row], len(table.devices[row]), table.cpu_total[row])
                self._rows[row] = self._outlooks.of(kind)
        self._before = [0.0] * len(table.node_ids)
        self._stamps = [-1] * len(table.node_ids)
        self._selection.forget()

    def _scoring(self, demand: Demand, table: NodeColumns) -> Score:
        full, after = fullness(demand, table), self._after(demand, table)
        rows, before, stamps = self._rows, self._before, self._stamps
        cpu_free, devices, generation = table.cpu_free, table.devices, table.generation
        step = WHOLE_GPU * min(ORDER_STEP, ORDER_MOST / max(1, len(table.rank)))
        early = [-step * rank for rank in table.rank]
        prices = [self._outlooks.price(model) * demand.gpu_milli for model in table.gpu_models]

        def score(row: int) -> float:
            outlook = rows[row]
            if outlook is None:
                return round(early[row] + full(row) / WHOLE_GPU, 3)
            if stamps[row] != generation[row]:
                stamps[row] = generation[row]
                before[row] = outlook.useless(cpu_free[row], devices[row])
            # In thousandths of a GPU; rounded, for equal nodes must tie whatever they were summed from.
            return round(early[row] + before[row] - after(outlook, row) - prices[row], 3)

        return score

    def _after(self, demand: Demand, table: NodeColumns) -> Callable[[Outlook, int], float]:
        """What is useless when the demand is met on a row."""
        cpu_free, devices, memory = table.cpu_free, table.devices, table.device_memory
        cpu, count = demand.cpu_milli, demand.devices

        def with_share(outlook: Outlook, row: int) -> float:
            share = share_on(demand, memory[row])
            return outlook.useless_with_share(cpu_free[row] - cpu, devices[row], share)[0]

        def with_whole(outlook: Outlook, row: int) -> float:
            free = list(devices[row])
            for _ in range(count):
                free.remove(WHOLE_GPU)
            return outlook.useless(cpu_free[row] - cpu, free)

        return with_share if _is_shared(demand) else with_whole

    def _devices(self, demand: Demand, table: NodeColumns, row: int) -> tuple[int, ...]:
        outlook = self._rows[row]
        if outlook is None or not _is_shared(demand):
            return tightest_devices(demand, table, row)
        share = share_on(demand, table.device_memory[row])
        left = table.cpu_free[row] - demand.cpu_milli
        room = outlook.useless_with_share(left, table.devices[row], share)[1]
        return (table.devices[row].index(room),)


def _is_shared(demand: Demand) -> bool:
    return bool(demand.devices) and demand.share < WHOLE_GPU
