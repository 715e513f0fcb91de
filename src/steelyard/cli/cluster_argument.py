"""The nodes and tasks of `simulate-cluster`: files, a size such as 64x8, or the word `generated`."""

import re
from pathlib import Path

from steelyard.model.errors import ConfigError
from steelyard.model.node import Node
from steelyard.model.resources import Resources
from steelyard.traces.cluster import ClusterTrace
from steelyard.traces.cluster_generator import generate_cluster
from steelyard.traces.cluster_readers import is_tasks_file, read_nodes, read_tasks, tasks_of_jobs
from steelyard.traces.job import TraceJob
from steelyard.traces.job_readers import read_jobs

GENERATED = "generated"
GENERATED_NODES = 300
_SIZE = re.compile(r"(\d+)x(\d+)(?:x(\d+))?")
MAX_NODES, MAX_GPUS, MAX_CORES = 200_000, 1024, 100_000  # what fits into a few GiB
CORES_A_GPU, MEMORY_A_CORE_BYTES = 12, 8 * 2**30


def nodes_of(argument: str) -> list[Node]:
    """A file, or COUNTxGPUS or COUNTxGPUSxCORES. Raises ConfigError, TraceError or OSError."""
    size = _SIZE.fullmatch(argument)
    if size is None:
        if not Path(argument).exists():
            raise ConfigError(
                f"--nodes {argument!r} is neither a file nor a size: give a CSV file, or COUNTxGPUS such as "
                "64x8, or COUNTxGPUSxCORES such as 100x0x64"
            )
        return read_nodes(Path(argument))
    count, gpus = int(size[1]), int(size[2])
    cores = int(size[3]) if size[3] else max(1, gpus) * CORES_A_GPU
    if not count or not cores:
        raise ConfigError(f"--nodes {argument!r} makes an empty cluster: give at least one node and one core")
    if count > MAX_NODES or cores > MAX_CORES or gpus > MAX_GPUS:
        raise ConfigError(
            f"--nodes {argument!r} is too large: at most {MAX_NODES:,} nodes of {MAX_GPUS} GPUs and "
            f"{MAX_CORES:,} cores"
        )
    capacity = Resources(cpu_cores=cores, memory_bytes=cores * MEMORY_A_CORE_BYTES, gpus=gpus)
    width = len(str(count - 1))
    return [Node(node_id=f"node-{at:0{width}d}", capacity=capacity) for at in range(count)]


def holds_jobs(tasks: str) -> bool:
    """Whether the argument names a trace of jobs with durations, rather than tasks with shapes."""
    return tasks != GENERATED and not is_tasks_file(_existing(tasks))


def jobs_of(tasks: str, limit: int | None) -> list[TraceJob]:
    """A trace of jobs. Raises TraceError or OSError."""
    return read_jobs(_existing(tasks), limit)


def cluster_of(nodes: str | None, tasks: str, limit: int | None, seed: int) -> ClusterTrace:
    """Nodes and tasks. Raises ConfigError, TraceError or OSError."""
    if tasks == GENERATED:
        trace = generate_cluster(GENERATED_NODES, seed, limit)
        if nodes is None:
            return trace
        return ClusterTrace(name=f"{trace.name}, on {nodes}", nodes=tuple(nodes_of(nodes)), tasks=trace.tasks)
    if nodes is None:
        raise ConfigError("--tasks needs --nodes: a CSV file of nodes, or a size such as 64x8")
    path = _existing(tasks)
    read = read_tasks(path) if is_tasks_file(path) else tasks_of_jobs(read_jobs(path))
    return ClusterTrace(name=path.name, nodes=tuple(nodes_of(nodes)), tasks=tuple(read[:limit]))


def _existing(tasks: str) -> Path:
    path = Path(tasks)
    if not path.exists():
        raise ConfigError(f"--tasks {tasks!r} is no file: give a CSV file of tasks or jobs, or `{GENERATED}`")
    return path
