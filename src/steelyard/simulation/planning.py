"""The fewest replicas that hold an objective: doubled until it is held, then halved between.

That more replicas never hold less is taken for granted; it is true but for noise. Cost: a run of the load for
each size tried, the logarithm of the answer twice over.
"""

from collections.abc import Callable
from dataclasses import dataclass

from steelyard.simulation.report import SimulationReport


@dataclass(frozen=True, slots=True)
class Plan:
    """fewest: None when not even `most` replicas hold. curve: every size that was tried, in order."""

    fewest: int | None
    curve: dict[int, SimulationReport]


def fewest_replicas(run: Callable[[int], SimulationReport], share: float, most: int, least: int = 1) -> Plan:
    """Find the size.

    run: simulates so many replicas. share: 0..1, of requests that must be in the objective.
    """
    curve: dict[int, SimulationReport] = {}

    def holds(replicas: int) -> bool:
        if replicas not in curve:
            curve[replicas] = run(replicas)
        return curve[replicas].goodput_share >= share

    high = least
    low = least - 1
    while not holds(high):
        low = high
        if high >= most:
            return Plan(None, dict(sorted(curve.items())))
        high = min(most, high * 2)
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    for beside in (high - 2, high + 1):  # the curve's shape beside the answer
        if least <= beside <= most:
            holds(beside)
    return Plan(high, dict(sorted(curve.items())))
