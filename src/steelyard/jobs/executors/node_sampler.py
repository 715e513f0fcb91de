"""What a local node measures: the whole machine, or the sum over its own tasks when it is one of several."""

from pathlib import Path

import psutil

from steelyard.cluster.node_load import placeable
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.model.resources import Resources
from steelyard.model.telemetry import NodeTelemetry
from steelyard.telemetry.gpus import find_gpus
from steelyard.telemetry.host import HostSampler
from steelyard.telemetry.process_groups import ProcessGroupSampler


class NodeSampler:
    """One node's measurements."""

    def __init__(self, node: LocalNode, folder: Path) -> None:
        self.interval_s = node.sample_interval_s
        self._host: HostSampler | None = None
        self._groups: ProcessGroupSampler | None = None
        if node.capacity is None:
            self._host = HostSampler(node.name, disk_path=str(folder))
            self.capacity = _of_this_machine()
        else:
            self.capacity = node.capacity
            self._groups = ProcessGroupSampler(node.name, node.capacity, disk_path=str(folder))

    def sample(self, group_ids: list[int]) -> NodeTelemetry | None:
        """Now."""
        if self._host is not None:
            return self._host.sample()
        return self._groups.sample(group_ids) if self._groups is not None else None


def _of_this_machine() -> Resources:
    gpus = find_gpus().read()
    whole = Resources(
        cpu_cores=float(psutil.cpu_count() or 1),
        memory_bytes=float(psutil.virtual_memory().total),
        # Not known without a benchmark: as good as unlimited, so that they never rule the node out.
        disk_read_bytes_per_s=1e12,
        disk_write_bytes_per_s=1e12,
        network_bytes_per_s=1e12,
        gpus=float(len(gpus)),
        gpu_memory_bytes=sum(gpu.memory_bytes for gpu in gpus),
    )
    return placeable(whole)
