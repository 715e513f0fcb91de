"""Fragmentation: how much of a node's idle GPUs the next task, drawn from the mix, could not use.

Source: Weng et al., USENIX ATC 2023: for each shape of task, weighed by how often it comes, all idle GPU
time of a node that cannot run it counts, and on a node that can, the GPUs too small for it. Their simulator
sums over shapes and devices; summed the other way round the shapes become tables by (CPU free, thousandths
free, whole GPUs free), and a node costs a few look-ups instead of a few hundred comparisons.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from steelyard.model.placement_policy import WHOLE_GPU
from steelyard.policies.request_mix import Shape

MAX_DEVICES = 64


class CpuStep:
    """Tables for nodes with CPU between two steps: which shapes fit by CPU is the same for all of them.

    useless: probability of shapes to which all of a node's idle GPUs are of no use.
    tail: [f] is the probability of a share above f thousandths.
    wants_more: [n] is the probability of a whole-GPU shape of more than n.
    whole: the probability of a whole-GPU shape.
    """

    __slots__ = ("tail", "useless", "wants_more", "whole")

    def __init__(self, shapes: Iterable[tuple[Shape, float]], cpu_milli: int, gpu_model: str) -> None:
        self.useless = self.whole = 0.0
        shares = [0.0] * (WHOLE_GPU + 1)
        counts = [0.0] * (MAX_DEVICES + 1)
        for shape, probability in shapes:
            if not shape.devices or shape.cpu_milli > cpu_milli or not shape.runs_on(gpu_model):
                self.useless += probability
            elif shape.share < WHOLE_GPU:
                shares[shape.share] += probability
            else:
                counts[min(shape.devices, MAX_DEVICES)] += probability
                self.whole += probability
        self.tail = _sums_above(shares)
        self.wants_more = _sums_above(counts)

    def amount(self, devices: Sequence[int]) -> float:
        """Expected thousandths of a GPU that are of no use, for thousandths free on each device."""
        tail = self.tail
        partial = whole = 0
        fragments = 0.0
        for free in devices:
            if free == WHOLE_GPU:
                whole += 1
            elif free:
                partial += free
                fragments += free * tail[free]
        more = self.wants_more[whole]
        idle = partial + WHOLE_GPU * whole
        return fragments + idle * (self.useless + more) + partial * (self.whole - more)


def _sums_above(values: list[float]) -> list[float]:
    total = 0.0
    sums = [0.0] * len(values)
    for at in range(len(values) - 1, -1, -1):
        sums[at] = total
        total += values[at]
    return sums


class Fragmentation:
    """The tables of one mix, made when first needed."""

    __slots__ = ("_models", "_shapes", "_steps")

    def __init__(self, shapes: Sequence[tuple[Shape, float]]) -> None:
        self._shapes = shapes
        self._steps = sorted({shape.cpu_milli for shape, _ in shapes if shape.devices})
        self._models: dict[str, list[CpuStep | None]] = {}

    def step(self, gpu_model: str, cpu_milli: int) -> CpuStep:
        """The tables for a node with this much CPU free and GPUs of this model."""
        steps = self._models.get(gpu_model)
        if steps is None:
            steps = self._models[gpu_model] = [None] * (len(self._steps) + 1)
        at = bisect_right(self._steps, cpu_milli)
        step = steps[at]
        if step is None:
            step = steps[at] = CpuStep(self._shapes, cpu_milli, gpu_model)
        return step

    def amount(self, gpu_model: str, cpu_milli: int, devices: Sequence[int]) -> float:
        """Expected thousandths of a GPU on a node that the next task cannot use."""
        return self.step(gpu_model, cpu_milli).amount(devices)
