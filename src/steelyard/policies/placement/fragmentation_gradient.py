"""Fragmentation gradient descent: the node whose fragmentation grows least, or shrinks most.

Source: FGD (Weng et al., USENIX ATC 2023), with the score of their experiments: 100 × sigmoid(decrease in
GPUs), in whole points, over the most frequent shapes that make up 95 % of the mix. The coarse score is a
deadband: within a point, the tie rule decides, and by name it is first fit, which carries much of the gain.
Ties go to the first by name (as published), or to one at random; of a node's GPUs to the first with the
best score. Cost: a few look-ups for each node that changed.
"""

from collections.abc import Callable
from math import exp

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
from steelyard.policies.fragmentation import Fragmentation
from steelyard.policies.request_mix import RequestMix
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings

TYPICAL_FRACTION = 0.95


class FragmentationGradient:
    """Descend the gradient of fragmentation."""

    __slots__ = ("_fragmentation", "_mix", "_selection")

    def __init__(self, settings: PlacementSettings) -> None:
        self._mix: RequestMix = settings.mix
        self._fragmentation = Fragmentation(self._mix.typical(TYPICAL_FRACTION))
        self._selection = Selection("fgd", self._scoring, self._devices, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place where the least becomes useless."""
        if self._mix.observe(claim, demand_of(claim.demand)):
            self._fragmentation = Fragmentation(self._mix.typical(TYPICAL_FRACTION))
            self._selection.forget()
        return self._selection.place(claim, table)

    def _scoring(self, demand: Demand, table: NodeColumns) -> Score:
        decrease = self._decrease(demand, table)
        shared = demand.share < WHOLE_GPU and demand.devices
        devices, memory = table.devices, table.device_memory

        def score(row: int) -> float:
            if not shared:
                return points(decrease(row, -1))
            share = share_on(demand, memory[row])
            # Devices with the same room are the same choice.
            return points(max(decrease(row, room) for room in set(devices[row]) if room >= share))

        return score

    def _decrease(self, demand: Demand, table: NodeColumns) -> Callable[[int, int], float]:
        """A function of a row and of the room of the device that is shared (−1 when none is)."""
        step, models, cpu_free, devices = (
            self._fragmentation.step,
            table.gpu_models,
            table.cpu_free,
            table.devices,
        )

        def decrease(row: int, room: int) -> float:
            free, model, cpu = devices[row], models[row], cpu_free[row]
            if not free:
                return 0.0
            after = list(free)
            if room >= 0:
                after[free.index(room)] = room - share_on(demand, table.device_memory[row])
            else:
                for _ in range(demand.devices):
                    after[after.index(WHOLE_GPU)] = 0
            before = step(model, cpu).amount(free)
            return before - step(model, cpu - demand.cpu_milli).amount(after)

        return decrease

    def _devices(self, demand: Demand, table: NodeColumns, row: int) -> tuple[int, ...]:
        if not demand.devices or demand.share == WHOLE_GPU:
            return tightest_devices(demand, table, row)
        decrease = self._decrease(demand, table)
        share = share_on(demand, table.device_memory[row])
        fitting = [
            (points(decrease(row, room)), -at) for at, room in enumerate(table.devices[row]) if room >= share
        ]
        return (-max(fitting)[1],)


def points(decrease_milli: float) -> int:
    """0..100, 50 for no change; coarse on purpose."""
    return int(100.0 / (1.0 + exp(-decrease_milli / WHOLE_GPU)))
