"""Scarcity: what some tasks can only find on few nodes, and what it costs to take it from them.

Two prices, both in GPUs, from the mix of requests and the nodes that there are. Demand is taken to be as
large as the cluster, for only then do prices matter.

- A GPU of a model that some tasks insist on: the share of the capacity open to them that they would fill.
  With 900 tasks that run on T4 only and 1,000 T4s, a task that could run elsewhere pays 0.9 for a T4.
- Room for a large task (several whole GPUs, with their CPU): a node that could hold it when empty and
  cannot now loses that share of its whole idle GPUs.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from steelyard.model.placement_policy import WHOLE_GPU, NodeColumns
from steelyard.policies.request_mix import Shape

ROOM_WEIGHT = 0.5
"""The room price counts half: in full it keeps more room for large tasks while tasks come and go, but fills a
cluster 0.2 points less (openb, `benchmarks/results/placement.md`)."""


@dataclass(frozen=True, slots=True, order=True)
class Hardware:
    """What decides which tasks a node could hold when empty."""

    gpu_model: str
    devices: int
    cpu_milli: int

    def holds(self, shape: Shape) -> bool:
        """Whether the shape fits on an empty node."""
        return (
            shape.runs_on(self.gpu_model)
            and shape.devices <= self.devices
            and shape.cpu_milli <= self.cpu_milli
        )


def hardware_of(table: NodeColumns) -> dict[Hardware, int]:
    """How many nodes of each kind there are, those with GPUs only."""
    kinds: dict[Hardware, int] = {}
    for row in table.rows():
        if table.devices[row]:
            kind = Hardware(table.gpu_models[row], len(table.devices[row]), table.cpu_total[row])
            kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


class Room:
    """By CPU and whole GPUs free, the thousandths of a GPU that large tasks cannot use any more."""

    __slots__ = ("_lost", "_steps")

    def __init__(self, shares: Iterable[tuple[Shape, float]], devices: int) -> None:
        """shares: of each large shape that the empty node holds, the share of such capacity it would fill."""
        large = list(shares)
        self._steps = sorted({shape.cpu_milli for shape, _ in large})
        self._lost = [
            [
                ROOM_WEIGHT
                * whole
                * WHOLE_GPU
                * sum(each for shape, each in large if shape.devices > whole or shape.cpu_milli > cpu)
                for whole in range(devices + 1)
            ]
            for cpu in (-1, *self._steps)
        ]

    def lost(self, cpu_milli: int, whole: int) -> float:
        """For the CPU that is free and the number of GPUs that are free as a whole."""
        return self._lost[bisect_right(self._steps, cpu_milli)][whole]


class Scarcity:
    """The prices for one mix and one layout of a cluster."""

    __slots__ = ("_prices", "_rooms")

    def __init__(self, weights: Mapping[Shape, float], kinds: Mapping[Hardware, int]) -> None:
        gpus = {shape: each * shape.gpus for shape, each in weights.items() if shape.devices}
        total = sum(gpus.values()) or 1.0
        capacity = sum(kind.devices * count for kind, count in kinds.items())
        wanted = {shape: amount / total * capacity for shape, amount in gpus.items()}
        self._prices = _model_prices(wanted, kinds)
        large = {shape: amount for shape, amount in wanted.items() if shape.devices > 1}
        filled = {shape: amount / _open_to(shape, kinds) for shape, amount in large.items()}
        self._rooms = {
            kind: Room(((s, share) for s, share in filled.items() if kind.holds(s)), kind.devices)
            for kind in kinds
        }

    def price(self, gpu_model: str) -> float:
        """Of one GPU of this model, in GPUs, 0..1."""
        return self._prices.get(gpu_model, 0.0)

    def room(self, kind: Hardware) -> Room:
        """What large tasks lose on nodes of this kind."""
        return self._rooms[kind]


def _open_to(shape: Shape, kinds: Mapping[Hardware, int]) -> float:
    """GPUs on nodes that hold the shape when empty; one at least, for there may be no such node."""
    return max(1.0, sum(kind.devices * count for kind, count in kinds.items() if kind.holds(shape)))


def _model_prices(wanted: Mapping[Shape, float], kinds: Mapping[Hardware, int]) -> dict[str, float]:
    supply: dict[str, int] = {}
    for kind, count in sorted(kinds.items()):
        supply[kind.gpu_model] = supply.get(kind.gpu_model, 0) + kind.devices * count
    asked: dict[tuple[str, ...], float] = {}
    for shape, amount in wanted.items():
        if shape.gpu_models:
            asked[shape.gpu_models] = asked.get(shape.gpu_models, 0.0) + amount
    prices = dict.fromkeys(supply, 0.0)
    for models, amount in asked.items():
        open_to = sum(supply.get(model, 0) for model in set(models))
        for model in set(models) & supply.keys():
            prices[model] += amount / open_to
    return {model: min(1.0, price) for model, price in prices.items()}
