"""Min-load: the node of least load among those whose resources suffice.

Source: the seed (section 5): tasks by increasing expected time (`by_expected_time`), each to the node of
least load with enough capacity, which is then subtracted. A node's load is the mean over CPU, memory and,
where it has them, GPUs of the greater of what is reserved and what is measured. (The article's own program
takes the least *remaining* capacity for the least load; docs/seed.md.) Ties go to the first by name, or to
one at random. Cost: O(log n) for each node that changed.
"""

from collections.abc import Iterable

from steelyard.model.placement_policy import Claim, Demand, NodeColumns, Placement, Refusal
from steelyard.policies.score_board import Score
from steelyard.policies.selection import Selection
from steelyard.policies.settings import PlacementSettings


class MinLoad:
    """Even out live load."""

    __slots__ = ("_selection",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._selection = Selection("min-load", _scoring, rng=settings.tie_rng)

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place on the least loaded node."""
        return self._selection.place(claim, table)


def by_expected_time(claims: Iterable[Claim]) -> list[Claim]:
    """The seed's order of placing: the shortest first; equals keep their order."""
    return sorted(claims, key=lambda claim: claim.expected_time_s)


def _scoring(demand: Demand, table: NodeColumns) -> Score:
    used = table.used_fraction

    def score(row: int) -> float:
        loads = [used(row, "cpu_cores"), used(row, "memory_bytes")]
        if table.devices[row]:
            loads.append(used(row, "gpus"))
        # Rounded, for equal loads must tie whatever they were summed from.
        return -round(sum(loads) / len(loads), 9)

    return score
