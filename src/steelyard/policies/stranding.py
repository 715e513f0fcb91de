"""Stranding: how much of a node's idle GPUs is expected to stay idle in the end, after further tasks came.

Fragmentation asks what the *next* task cannot use; most of that a later one can. Here tasks of the observed
mix keep coming to the node until none fits or the arrivals end, and what is left then counts. The exact
expectation needs every state of a node, so it is split into three that are solved once a mix by dynamic
programming:

- a device with f free: D(f) = (h·f + Σ_g≤f q_g D(f − g)) / (h + Σ_g≤f q_g), over shares g with weight q_g;
- n whole devices: P(n) likewise over shares (which break one: P(n − 1) + D(1 − g)) and k ≤ n whole ones,
  these weighed by k, so that room for large tasks is worth its GPUs;
- CPU: C(c, g), likewise over both amounts with g taken as one volume, less the same without the CPU limit:
  GPUs that are left because CPU ran out first.

A node strands P(whole) + Σ D(partial) + C. h is the chance, next to that of a task, that nothing comes any
more: with none, a gap that only a rare task fills would count as filled. Tasks without GPUs are left out of
the mix: good placement keeps them off nodes whose CPU is needed. Cost: three look-ups and one a partial
device.
"""

from collections.abc import Iterable, Mapping, Sequence

from steelyard.model.placement_policy import WHOLE_GPU
from steelyard.policies.request_mix import Shape
from steelyard.policies.scarcity import Hardware

HORIZON = 0.02
"""h as a share of the weight of all shapes. 0.01 to 0.2 do equally well on openb; clusters that are in no
trace fill better with little (docs/decisions/0013)."""
UNIT = 10
"""Thousandths of a GPU a step of D."""
CPU_STEPS, GPU_STEPS = 48, 40
"""Steps of C; half as many give the same placements within 0.05 points of allocation."""


class ModelStranding:
    """The tables for nodes with GPUs of one model."""

    __slots__ = ("cpu_step", "device", "gpu_step", "most_cpu", "pool", "starved")

    def __init__(
        self, weights: Mapping[Shape, float], gpu_model: str, most_cpu_milli: int, most_devices: int
    ) -> None:
        all_weight = sum(weight for shape, weight in weights.items() if shape.devices)
        end = max(HORIZON * all_weight, 1e-9)
        shapes = [(s, weight) for s, weight in weights.items() if s.devices and s.runs_on(gpu_model)]
        self.device = _device_table(shapes, end)
        self.pool = _pool_table(shapes, end, self.device, most_devices)
        self.most_cpu = max(1, most_cpu_milli)
        self.cpu_step = -(-self.most_cpu // CPU_STEPS)
        self.gpu_step = -(-WHOLE_GPU * max(1, most_devices) // GPU_STEPS)
        self.starved = _starved_table(shapes, end, self.cpu_step, self.gpu_step)


def _device_table(shapes: Sequence[tuple[Shape, float]], end: float) -> list[float]:
    by_share: dict[int, float] = {}
    for shape, weight in shapes:
        if shape.devices == 1:
            step = -(-shape.share // UNIT)
            by_share[step] = by_share.get(step, 0.0) + weight
    table: list[float] = []
    for free in range(WHOLE_GPU // UNIT + 1):
        left, total = end * free * UNIT, end
        for step, weight in by_share.items():
            if step <= free:
                left += weight * table[free - step]
                total += weight
        table.append(left / total)
    return table


def _pool_table(
    shapes: Sequence[tuple[Shape, float]], end: float, device: list[float], most_devices: int
) -> list[float]:
    table = [0.0]
    for whole in range(1, most_devices + 1):
        left, total = end * WHOLE_GPU * whole, end
        for shape, weight in shapes:
            if shape.share < WHOLE_GPU:
                rest = device[(WHOLE_GPU - shape.share) // UNIT]
                left += weight * (table[whole - 1] + rest)
                total += weight
            elif shape.devices <= whole:
                left += weight * shape.devices * table[whole - shape.devices]
                total += weight * shape.devices
        table.append(left / total)
    return table


def _starved_table(
    shapes: Sequence[tuple[Shape, float]], end: float, cpu_step: int, gpu_step: int
) -> list[list[float]]:
    """[cpu][volume]: what is left because CPU ran out before the GPUs."""
    merged: dict[tuple[int, int], float] = {}
    for shape, weight in shapes:
        steps = (_nearest(shape.cpu_milli, cpu_step), max(1, _nearest(shape.devices * shape.share, gpu_step)))
        merged[steps] = merged.get(steps, 0.0) + weight
    amounts = sorted((cpu, gpu, weight) for (cpu, gpu), weight in merged.items())
    table = [_volume_row(amounts, end, gpu_step, table=[], cpu=-1)]
    unlimited = table.pop()
    for cpu in range(CPU_STEPS + 1):
        fitting = [each for each in amounts if each[0] <= cpu]
        table.append(_volume_row(fitting, end, gpu_step, table, cpu))
    return [[left - free for left, free in zip(row, unlimited, strict=True)] for row in table]


def _nearest(amount: int, step: int) -> int:
    return (amount + step // 2) // step


def _volume_row(
    amounts: Sequence[tuple[int, int, float]], end: float, gpu_step: int, table: list[list[float]], cpu: int
) -> list[float]:
    """One row of C by volume; cpu −1 is without a limit."""
    row: list[float] = []
    for volume in range(GPU_STEPS + 1):
        left, total = end * volume * gpu_step, end
        for need, gpu, weight in amounts:
            if gpu > volume:
                continue
            source = row if cpu < 0 or not need else table[cpu - need]
            left += weight * source[volume - gpu]
            total += weight
        row.append(left / total)
    return row


class Stranding:
    """The tables of one mix for one layout of a cluster, a GPU model each."""

    __slots__ = ("_kinds", "_models", "_weights")

    def __init__(self, weights: Mapping[Shape, float], kinds: Iterable[Hardware]) -> None:
        self._weights = dict(weights)
        self._kinds = tuple(kinds)
        self._models: dict[str, ModelStranding] = {}

    def of(self, gpu_model: str) -> ModelStranding:
        """The tables for one GPU model, made when first needed."""
        model = self._models.get(gpu_model)
        if model is None:
            own = [kind for kind in self._kinds if kind.gpu_model == gpu_model]
            most_cpu = max(kind.cpu_milli for kind in own)
            most_devices = max(kind.devices for kind in own)
            model = self._models[gpu_model] = ModelStranding(self._weights, gpu_model, most_cpu, most_devices)
        return model
