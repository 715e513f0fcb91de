"""Clusters and mixes of tasks that are in no trace, each with one trait carried far."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from steelyard.model.node import GPU_MODEL, Node
from steelyard.model.placement_policy import Claim
from steelyard.model.resources import Resources
from steelyard.traces.cluster import ClusterTrace, TraceTask

GIB = 2**30
NODES = 200

Machine = tuple[int, float, str]
"""GPUs, cores, model."""
Draw = Callable[[Random], tuple[float, float, tuple[str, ...]]]
"""One task: GPUs, cores, models that it insists on."""

EIGHTS: tuple[Machine, ...] = ((8, 96.0, "a"),)
MIXED: tuple[Machine, ...] = (
    (1, 16.0, "a"),
    (2, 64.0, "b"),
    (4, 32.0, "c"),
    (8, 128.0, "d"),
    (16, 96.0, "e"),
)


@dataclass(frozen=True, slots=True)
class Workload:
    """One trait. machines: kinds of nodes, all equally frequent."""

    name: str
    machines: tuple[Machine, ...]
    draw: Draw

    def trace(self, seed: int) -> ClusterTrace:
        """Tasks that ask for about all GPUs."""
        rng = Random(seed)
        kinds = [rng.choice(self.machines) for _ in range(NODES)]
        nodes = tuple(
            Node(
                node_id=f"node-{at:04d}",
                capacity=Resources(cpu_cores=cores, memory_bytes=8 * GIB * cores, gpus=gpus),
                labels={GPU_MODEL: model},
            )
            for at, (gpus, cores, model) in enumerate(kinds)
        )
        tasks: list[TraceTask] = []
        left = float(sum(gpus for gpus, _, _ in kinds))
        while left > 0:
            gpus, cores, models = self.draw(rng)
            left -= gpus
            demand = Resources(cpu_cores=cores, memory_bytes=GIB * cores, gpus=gpus)
            tasks.append(
                TraceTask(claim=Claim(task_id=f"t{len(tasks):06d}", demand=demand, gpu_models=models))
            )
        return ClusterTrace(name=f"{self.name}, seed {seed}", nodes=nodes, tasks=tuple(tasks))


def _small_shares(rng: Random) -> tuple[float, float, tuple[str, ...]]:
    gpus = rng.choice((0.1, 0.2, 0.3, 0.3, 0.45, 0.6, 0.7)) if rng.random() < 0.9 else 1.0
    return gpus, max(0.5, round(9 * gpus, 1)), ()


def _awkward_shares(rng: Random) -> tuple[float, float, tuple[str, ...]]:
    """Shares that leave what only few others can use."""
    gpus = rng.choice((0.55, 0.6, 0.7, 0.8, 0.35, 0.25, 1.0, 2.0))
    return gpus, round(10 * min(gpus, 1.0), 1), ()


def _cpu_heavy(rng: Random) -> tuple[float, float, tuple[str, ...]]:
    """CPU runs out first: some tasks want none of the GPUs, some much CPU for the one they want."""
    if rng.random() < 0.3:
        return 0.0, float(rng.choice((4, 8, 16))), ()
    return rng.choice((0.5, 1.0, 1.0, 2.0)), float(rng.choice((6, 10, 16, 20))), ()


def _wide(rng: Random) -> tuple[float, float, tuple[str, ...]]:
    """Members of large gangs, most of them whole nodes, among small tasks."""
    gpus = rng.choices((8.0, 4.0, 2.0, 1.0, 0.5), (2, 2, 2, 4, 4))[0]
    return gpus, 8 * max(gpus, 0.5), ()


def _choosy(rng: Random) -> tuple[float, float, tuple[str, ...]]:
    """On unlike nodes; a third insists on models."""
    gpus = rng.choices((0.25, 0.5, 1.0, 2.0, 4.0, 8.0), (2, 2, 8, 3, 2, 1))[0]
    wide_enough = [model for count, _, model in MIXED if count >= gpus]
    models = (
        tuple(sorted(rng.sample(wide_enough, rng.randint(1, 2)))) if rng.random() < 0.33 and gpus < 8 else ()
    )
    return gpus, float(rng.choice((2, 4, 6, 8))) * max(gpus, 0.5), models


WORKLOADS: tuple[Workload, ...] = (
    Workload("small shares", EIGHTS, _small_shares),
    Workload("awkward shares", EIGHTS, _awkward_shares),
    Workload("CPU-heavy", EIGHTS, _cpu_heavy),
    Workload("wide gangs", EIGHTS, _wide),
    Workload("unlike nodes", MIXED, _choosy),
    Workload("unlike nodes, small shares", MIXED, _small_shares),
)
