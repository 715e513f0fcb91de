"""What is asked for: how often each shape of claim comes, as observed, the old fading.

A policy that thinks of the tasks to come needs their mix. It may be told one at the start (a trace's, last
month's); what it is asked to place is added. The mix is worked into a policy's tables again each time that
the number of observations has doubled, and later every `WINDOW`, when what came before is halved.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from steelyard.model.placement_policy import WHOLE_GPU, Claim, Demand, demand_of

WINDOW = 4096
MAX_SHAPES = 4096
REMEMBERED_TASKS = 16_384


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """A kind of claim: what decides which node can use it. Memory hardly ever does, so it is left out."""

    cpu_milli: int
    devices: int
    share: int
    gpu_models: tuple[str, ...]

    @property
    def gpus(self) -> float:
        """GPUs in all, shares counted as such."""
        return self.devices * self.share / WHOLE_GPU

    def runs_on(self, gpu_model: str) -> bool:
        """Whether GPUs of this model are allowed."""
        return not self.gpu_models or gpu_model in self.gpu_models


@dataclass(slots=True)
class RequestMix:
    """Weights of shapes.

    fixed: learn nothing more, as in the published experiments, where the mix is known.
    """

    fixed: bool = False
    weights: dict[Shape, float] = field(default_factory=dict)
    _seen: int = 0
    _refresh_at: int = 8
    _tasks: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, claims: Iterable[Claim], fixed: bool = True) -> "RequestMix":
        """The mix of a list of claims."""
        mix = cls(fixed=fixed)
        for claim in claims:
            mix._add(claim, demand_of(claim.demand))
        return mix

    def observe(self, claim: Claim, demand: Demand) -> bool:
        """Count a claim once, however often it is tried; say whether tables are due to be made again."""
        if self.fixed or claim.task_id in self._tasks:
            return False
        if len(self._tasks) >= REMEMBERED_TASKS:
            del self._tasks[next(iter(self._tasks))]
        self._tasks[claim.task_id] = None
        self._add(claim, demand)
        self._seen += 1
        if self._seen < self._refresh_at:
            return False
        if self._refresh_at < WINDOW:
            self._refresh_at *= 2
        else:
            self._refresh_at += WINDOW
            self._fade()
        return True

    def _add(self, claim: Claim, demand: Demand) -> None:
        shape = Shape(demand.cpu_milli, demand.devices, demand.share, claim.gpu_models)
        if shape in self.weights or len(self.weights) < MAX_SHAPES:
            self.weights[shape] = self.weights.get(shape, 0.0) + 1.0

    def _fade(self) -> None:
        self.weights = {shape: weight / 2 for shape, weight in self.weights.items() if weight >= 0.5}

    def typical(self, fraction: float) -> list[tuple[Shape, float]]:
        """The most frequent shapes that together make up `fraction` of all, with probabilities that sum to 1.

        Equally frequent shapes are taken in their own order.
        """
        total = sum(self.weights.values())
        taken: list[tuple[Shape, float]] = []
        weight = 0.0
        for shape, each in sorted(self.weights.items(), key=lambda item: (-item[1], item[0])):
            if weight >= fraction * total:
                break
            taken.append((shape, each))
            weight += each
        return [(shape, each / weight) for shape, each in taken]
