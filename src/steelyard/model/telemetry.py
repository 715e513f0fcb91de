"""What a node reports of itself: one value, the same from every executor.

A sample says when it was taken on the clock of whoever uses it, so its age can always be asked;
smoothing and judging it (hot or not) are `cluster.node_load`'s business.
"""

from dataclasses import dataclass

from steelyard.model.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuTelemetry:
    """One GPU, as last seen; None where the device does not say.

    used_fraction: share of the last sampling window in which a kernel ran, 0..1.
    """

    name: str
    memory_bytes: float
    memory_used_bytes: float
    used_fraction: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTelemetry:
    """One node, as last seen.

    sampled_at_s: monotonic time of the sample.
    cpu_used_cores: cores busy, 0..cpu_cores.
    memory_used_bytes: what cannot be given to a new process; caches are not counted.
    disk_free_bytes: room where checkpoints and logs go; None when nobody looked.
    network rates: all interfaces but loopback; 0 for a named node that shares its machine, since
        the kernel keeps no such count for a group of processes.
    load_1m: processes running or waiting for a core or a disk, mean of a minute.
    """

    node_id: str
    sampled_at_s: float
    cpu_cores: float
    cpu_used_cores: float
    memory_bytes: float
    memory_used_bytes: float
    disk_read_bytes_per_s: float = 0.0
    disk_write_bytes_per_s: float = 0.0
    network_receive_bytes_per_s: float = 0.0
    network_send_bytes_per_s: float = 0.0
    load_1m: float = 0.0
    disk_free_bytes: float | None = None
    gpus: tuple[GpuTelemetry, ...] = ()

    def age_s(self, now_s: float) -> float:
        """Seconds since it was taken, never below 0."""
        return max(0.0, now_s - self.sampled_at_s)

    @property
    def used(self) -> Resources:
        """The same as resources in use, as placement counts them.

        A GPU counts by how busy it is, or as wholly in use where it does not say and holds memory.
        """
        return Resources(
            cpu_cores=self.cpu_used_cores,
            memory_bytes=self.memory_used_bytes,
            disk_read_bytes_per_s=self.disk_read_bytes_per_s,
            disk_write_bytes_per_s=self.disk_write_bytes_per_s,
            network_bytes_per_s=self.network_receive_bytes_per_s + self.network_send_bytes_per_s,
            gpus=sum(_busy(gpu) for gpu in self.gpus),
            gpu_memory_bytes=sum(gpu.memory_used_bytes for gpu in self.gpus),
        )


def _busy(gpu: GpuTelemetry) -> float:
    if gpu.used_fraction is None:
        return 1.0 if gpu.memory_used_bytes > 0 else 0.0
    return gpu.used_fraction
