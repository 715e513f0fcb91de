"""How loaded a node is: samples smoothed by age, and a verdict that does not flicker.

Smoothing is an exponentially weighted mean whose weight follows the time between samples,
w = 1 − exp(−Δt / τ): samples may come late, twice or not at all, and the mean stays the mean of
time, not of messages. A hot node stays hot until it falls below a lower mark (hysteresis), so that
a node at its threshold does not toss its tasks about.
"""

import math
from dataclasses import dataclass, replace

from steelyard.model.resources import Resources
from steelyard.model.telemetry import GpuTelemetry, NodeTelemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Marks of one resource, as shares of capacity in 0..1.

    headroom: of a machine nobody declared, kept for itself and for what tasks take beyond their request.
    hot: a smoothed use above this makes the node hot.
    cool: a hot node must fall below this to stop being hot.
    """

    headroom: float
    hot: float
    cool: float

    def __post_init__(self) -> None:
        if not 0 <= self.headroom < 1 or not 0 < self.cool <= self.hot <= 1:
            raise ValueError(
                f"headroom {self.headroom}, cool {self.cool}, hot {self.hot}: "
                "headroom must be in 0..1 and 0 < cool <= hot <= 1"
            )


# Why these numbers. Cores are shared out by the kernel, so none is held back, and a full node only slows
# down: moving pays late. Memory is not: beyond it the kernel kills, so leave room for what grows. Queues
# at disks and links grow as 1 / (1 − use): at 0.85 a request already waits 6.7 service times, and
# checkpoints, which come in bursts, need the rest. GPUs are meant to be full: use alone is never hot,
# their memory is, since an allocation beyond it fails at once and cannot be swapped.
THRESHOLDS: dict[str, Threshold] = {
    "cpu_cores": Threshold(headroom=0.0, hot=0.90, cool=0.75),
    "memory_bytes": Threshold(headroom=0.10, hot=0.90, cool=0.80),
    "disk_read_bytes_per_s": Threshold(headroom=0.20, hot=0.85, cool=0.70),
    "disk_write_bytes_per_s": Threshold(headroom=0.20, hot=0.85, cool=0.70),
    "network_bytes_per_s": Threshold(headroom=0.20, hot=0.85, cool=0.70),
    "gpu_memory_bytes": Threshold(headroom=0.05, hot=0.97, cool=0.90),
}
# Data-centre GPUs begin to lower their clocks between 85 and 90 °C; the mark is below that.
HOT_GPU_C = 84.0
COOL_GPU_C = 78.0
# A checkpoint of a task, its logs and the temporary file beside them must fit.
LOW_DISK_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """A node's smoothed telemetry and what is hot about it.

    hot: resources above their marks, sorted; empty for a node that is not hot.
    """

    telemetry: NodeTelemetry
    hot: tuple[str, ...] = ()

    @property
    def is_hot(self) -> bool:
        """Whether some of its tasks had better move."""
        return bool(self.hot)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRules:
    """How to smooth and judge.

    time_constant_s: a step in use is 63 % seen after this long, 95 % after three times that.
    stale_after_s: an older sample says nothing about now: the mean starts anew.
    """

    time_constant_s: float = 5.0  # three samples at the usual 2 s between them outweigh one spike
    stale_after_s: float = 30.0
    low_disk_bytes: float = LOW_DISK_BYTES

    def observe(self, before: NodeLoad | None, sample: NodeTelemetry, capacity: Resources) -> NodeLoad:
        """The load after one more sample of the same node.

        before: what this returned last, None at first. A sample older than `before` changes nothing.
        capacity: of the node; a resource of capacity 0 is never hot.
        """
        if before is None or sample.sampled_at_s - before.telemetry.sampled_at_s > self.stale_after_s:
            mean = sample
        elif sample.sampled_at_s <= before.telemetry.sampled_at_s:
            return before
        else:
            mean = smoothed(before.telemetry, sample, self.time_constant_s)
        return NodeLoad(mean, self._hot(mean, capacity, before.hot if before else ()))

    def _hot(self, mean: NodeTelemetry, capacity: Resources, before: tuple[str, ...]) -> tuple[str, ...]:
        used = mean.used
        hot = []
        for name, marks in THRESHOLDS.items():
            whole = float(getattr(capacity, name))
            if whole > 0 and getattr(used, name) / whole > (marks.cool if name in before else marks.hot):
                hot.append(name)
        hottest_c = max((gpu.temperature_c or 0.0 for gpu in mean.gpus), default=0.0)
        if hottest_c > (COOL_GPU_C if "gpu_temperature" in before else HOT_GPU_C):
            hot.append("gpu_temperature")
        if mean.disk_free_bytes is not None and mean.disk_free_bytes < self.low_disk_bytes:
            hot.append("disk_free")
        return tuple(sorted(hot))


def placeable(capacity: Resources) -> Resources:
    """What may be given out of a machine as measured: less the headroom of each resource."""
    return Resources(
        cpu_cores=_less(capacity.cpu_cores, "cpu_cores"),
        memory_bytes=_less(capacity.memory_bytes, "memory_bytes"),
        disk_read_bytes_per_s=_less(capacity.disk_read_bytes_per_s, "disk_read_bytes_per_s"),
        disk_write_bytes_per_s=_less(capacity.disk_write_bytes_per_s, "disk_write_bytes_per_s"),
        network_bytes_per_s=_less(capacity.network_bytes_per_s, "network_bytes_per_s"),
        gpus=capacity.gpus,
        gpu_memory_bytes=_less(capacity.gpu_memory_bytes, "gpu_memory_bytes"),
    )


def smoothed(before: NodeTelemetry, sample: NodeTelemetry, time_constant_s: float) -> NodeTelemetry:
    """The mean after `sample`, weighed by the time since `before`.

    What is not a rate (capacities, free disk) is taken from the sample as it is. Raises ValueError
    for samples of two nodes.
    """
    if before.node_id != sample.node_id:
        raise ValueError(f"samples of two nodes: {before.node_id!r} and {sample.node_id!r}")
    elapsed_s = sample.sampled_at_s - before.sampled_at_s
    weight = 1.0 - math.exp(-elapsed_s / time_constant_s) if time_constant_s > 0 else 1.0

    def mixed(name: str) -> float:
        old, new = float(getattr(before, name)), float(getattr(sample, name))
        return old + weight * (new - old)

    return replace(
        sample,
        cpu_used_cores=mixed("cpu_used_cores"),
        memory_used_bytes=mixed("memory_used_bytes"),
        disk_read_bytes_per_s=mixed("disk_read_bytes_per_s"),
        disk_write_bytes_per_s=mixed("disk_write_bytes_per_s"),
        network_receive_bytes_per_s=mixed("network_receive_bytes_per_s"),
        network_send_bytes_per_s=mixed("network_send_bytes_per_s"),
        load_1m=mixed("load_1m"),
        gpus=_smoothed_gpus(before.gpus, sample.gpus, weight),
    )


def _smoothed_gpus(
    before: tuple[GpuTelemetry, ...], sample: tuple[GpuTelemetry, ...], weight: float
) -> tuple[GpuTelemetry, ...]:
    """Device by device; a device that came or went starts anew."""
    if [gpu.name for gpu in before] != [gpu.name for gpu in sample]:
        return sample
    return tuple(
        replace(
            new,
            used_fraction=_mixed(old.used_fraction, new.used_fraction, weight),
            memory_used_bytes=old.memory_used_bytes
            + weight * (new.memory_used_bytes - old.memory_used_bytes),
            power_w=_mixed(old.power_w, new.power_w, weight),
            temperature_c=_mixed(old.temperature_c, new.temperature_c, weight),
        )
        for old, new in zip(before, sample, strict=True)
    )


def _mixed(old: float | None, new: float | None, weight: float) -> float | None:
    return new if old is None or new is None else old + weight * (new - old)


def _less(capacity: float, name: str) -> float:
    return capacity * (1.0 - THRESHOLDS[name].headroom)
