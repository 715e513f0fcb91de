"""Clusters and workloads that nobody recorded, to try placement where no policy was tuned.

Each seed gives another cluster: a few kinds of machines with their own CPU per GPU, and a few dozen shapes
of tasks whose popularity falls off as in real traces (a Zipf law), some of them shares, some wide, some
without GPUs, some that insist on a GPU model. The mean CPU per GPU of the tasks is drawn from 60 % to 110 %
of the cluster's, so that either may run out first.
"""

from dataclasses import dataclass
from random import Random

from steelyard.model.node import GPU_MODEL, RACK, ZONE, Node
from steelyard.model.placement_policy import Claim
from steelyard.model.resources import Resources
from steelyard.traces.cluster import ClusterTrace, TraceTask

GIB = 2**30
RACK_NODES = 20
ZONE_RACKS = 10
SHAPES = 40


@dataclass(frozen=True, slots=True)
class _Shape:
    gpus: float
    cpu_cores: float
    gpu_models: tuple[str, ...]
    weight: float


def generate_cluster(nodes: int, seed: int, tasks: int | None = None) -> ClusterTrace:
    """A cluster and its tasks, as many as fill it when no number is given. Equal seeds give equal traces."""
    rng = Random(seed)
    machines = _machines(nodes, rng)
    gpus = sum(node.capacity.gpus for node in machines)
    shapes = _shapes(machines, rng.uniform(0.6, 0.95), rng)
    weights = [shape.weight for shape in shapes]
    made: list[TraceTask] = []
    wanted = 0.0
    while len(made) < tasks if tasks is not None else wanted < gpus:
        shape = rng.choices(shapes, weights)[0]
        wanted += shape.gpus
        made.append(_task(len(made), shape))
    return ClusterTrace(name=f"generated, seed {seed}", nodes=tuple(machines), tasks=tuple(made))


def _machines(count: int, rng: Random) -> list[Node]:
    kinds = [
        (gpus, gpus * rng.choice((6, 8, 12, 16, 32, 48)), f"model-{at}")
        for at, gpus in enumerate(rng.sample((1, 2, 4, 4, 8, 8, 8, 16), rng.randrange(2, 6)))
    ]
    shares = [rng.random() + 0.1 for _ in kinds]
    nodes = []
    for at in range(count):
        gpus, cores, model = rng.choices(kinds, shares)[0]
        rack = at // RACK_NODES
        labels = {GPU_MODEL: model, RACK: f"rack-{rack}", ZONE: f"zone-{rack // ZONE_RACKS}"}
        capacity = Resources(cpu_cores=cores, memory_bytes=8 * GIB * cores, gpus=gpus)
        nodes.append(Node(node_id=f"node-{at:05d}", capacity=capacity, labels=labels))
    return nodes


def _shapes(machines: list[Node], cpu_share: float, rng: Random) -> list[_Shape]:
    """cpu_share: cores asked for when as many GPUs are asked for as there are, as a share of all cores."""
    models = sorted({node.gpu_model for node in machines})
    drawn = [_draw_shape(rank, machines, models, rng) for rank in range(1, SHAPES + 1)]
    gpus = sum(shape.gpus * shape.weight for shape in drawn)
    cores = sum(shape.cpu_cores * shape.weight for shape in drawn)
    there = sum(node.capacity.cpu_cores for node in machines) / sum(node.capacity.gpus for node in machines)
    scale = cpu_share * there * gpus / cores
    return [_on_some_node(shape, scale, machines) for shape in drawn]


def _draw_shape(rank: int, machines: list[Node], models: list[str], rng: Random) -> _Shape:
    """One shape of the rank-th popularity, its CPU still to be scaled."""
    kind = rng.random()
    only: tuple[str, ...] = ()
    if kind >= 0.1 and rng.random() < 0.15 and len(models) > 1:
        only = tuple(sorted(rng.sample(models, rng.randrange(1, len(models)))))
    widest = max(node.capacity.gpus for node in machines if not only or node.gpu_model in only)
    if kind < 0.1:
        gpus = 0.0
    elif kind < 0.5:
        gpus = rng.randrange(5, 100) / 100
    elif kind < 0.9:
        gpus = 1.0
    else:
        gpus = min(widest, float(rng.choice((2, 2, 4, 8))))
    # Shares want more CPU for their GPU than whole GPUs do, as in the openb trace.
    cpu = rng.lognormvariate(0, 0.5) * max(gpus, 0.5)
    return _Shape(gpus, cpu, only, 1 / rank)


def _on_some_node(shape: _Shape, scale: float, machines: list[Node]) -> _Shape:
    """CPU as scaled, as much as the largest node that has its GPUs."""
    fitting = [
        node.capacity.cpu_cores
        for node in machines
        if node.capacity.gpus >= shape.gpus and (not shape.gpu_models or node.gpu_model in shape.gpu_models)
    ]
    cpu = max(0.1, min(round(shape.cpu_cores * scale, 1), max(fitting)))
    return _Shape(shape.gpus, cpu, shape.gpu_models, shape.weight)


def _task(at: int, shape: _Shape) -> TraceTask:
    demand = Resources(cpu_cores=shape.cpu_cores, memory_bytes=2 * GIB * shape.cpu_cores, gpus=shape.gpus)
    return TraceTask(claim=Claim(task_id=f"task-{at:06d}", demand=demand, gpu_models=shape.gpu_models))
