"""The best row by tier, then by a score within it: for policies that follow where other things are.

Such a score depends on more than the row and the demand: tasks of a job, keys, data. But it takes few
values, each for the rows of some nodes, racks or zones, and 0 for all others. A policy gives those *tiers*,
best first; the first in which a row fits has the best row of all. Small tiers are looked at row by row, large
ones by the ranking that `Selection` keeps of the second score, so that no tier costs a look at every node.
Ties within a tier go by the second score, then as in `Selection`.
Cost: O(log n) and the rows of the small tiers.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from steelyard.model.chance import Rng
from steelyard.model.node import RACK, ZONE
from steelyard.model.placement_policy import Claim, NodeColumns, Placement, Refusal, demand_of
from steelyard.policies.feasibility import Blocker, extra_blocker
from steelyard.policies.score_board import Scored
from steelyard.policies.selection import ALTERNATIVES, Selection, best_of
from steelyard.policies.ties import one_of

Place = tuple[str, str]
"""A rack and a zone."""

Item = TypeVar("Item")
Value = TypeVar("Value")
_APART = "in another tier"
SMALL = 128  # rows: from about here on the ranking is cheaper than a look at each


@dataclass(frozen=True, slots=True)
class Tier:
    """Rows of one value. score: what a placement reports. rows: those it holds; None for all.

    outside: rows that it does not hold, where it holds nearly all.
    """

    score: float
    rows: Sequence[int] | None = None
    outside: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Places:
    """Where nodes stand; made anew when nodes come or go.

    of_row: a row's rack and zone; by_place: the rows of each such pair. A node that names no rack or no zone
    has "" for it. by_device: rows by their GPUs' model and memory in bytes.
    """

    table: NodeColumns
    layout: int
    of_row: Mapping[int, Place]
    by_place: Mapping[Place, Sequence[int]]
    by_device: Mapping[tuple[str, int], Sequence[int]]

    @classmethod
    def of(cls, table: NodeColumns) -> "Places":
        """Of all nodes that there are."""
        of_row: dict[int, Place] = {}
        rows_of: dict[Place, list[int]] = {}
        devices: dict[tuple[str, int], list[int]] = {}
        for row in table.rows():
            labels = table.labels[row]
            place = of_row[row] = labels.get(RACK, ""), labels.get(ZONE, "")
            rows_of.setdefault(place, []).append(row)
            devices.setdefault((table.gpu_models[row], table.device_memory[row]), []).append(row)
        return cls(table, table.layout, of_row, rows_of, devices)

    def around(self, on: Mapping[int, int]) -> tuple[Counter[str], Counter[str]]:
        """What is counted by row, by rack and by zone; where a node does not say where it stands, none."""
        in_rack, in_zone = Counter[str](), Counter[str]()
        for row, count in on.items():
            rack, zone = self.of_row[row]
            in_rack[rack] += count
            in_zone[zone] += count
        in_rack[""] = in_zone[""] = 0
        return in_rack, in_zone

    def rows(self, places: Iterable[Place]) -> list[int]:
        """All rows of some places."""
        return [row for place in places for row in self.by_place[place]]


def grouped(items: Iterable[Item], value: Callable[[Item], Value]) -> dict[Value, list[Item]]:
    """Items by a value of theirs, as they came."""
    groups: dict[Value, list[Item]] = {}
    for item in items:
        groups.setdefault(value(item), []).append(item)
    return groups


@dataclass(slots=True)
class TieredSelection:
    """Chooses by tiers. selection: of the second score; its reason is the policy's."""

    selection: Selection
    _places: Places | None = None

    def places(self, table: NodeColumns) -> Places:
        """Which rows stand where."""
        if self._places is None or self._places.table is not table or self._places.layout != table.layout:
            self._places = Places.of(table)
        return self._places

    def place(
        self,
        claim: Claim,
        table: NodeColumns,
        tiers: Iterable[Tier],
        near: Callable[[int], tuple[float, ...]],
    ) -> Placement | Refusal:
        """The best fitting node. near: a row's value, for a cluster that is down to its spares.

        tiers: best first; the last holds all rows, and one may hold rows of those before it.
        """
        demand = demand_of(claim.demand)
        extra = extra_blocker(claim, table)
        preferred = self.selection.preferred(claim, demand, extra, table)
        if preferred is not None:
            return preferred
        found: list[Scored] = []
        for score, row in self._best(claim, table, tiers, extra):
            if all(row != other for _, other in found):
                found.append((score, row))
            if len(found) > ALTERNATIVES:
                break
        if not found:
            # Hot spares, or a refusal that counts every node's reason.
            second = self.selection.scoring(demand, table)
            reason, rng = self.selection.reason, self.selection.rng
            return best_of(reason, claim, table, lambda row: (*near(row), second(row)), rng)
        return self.selection.placement(demand, table, found)

    def _best(
        self, claim: Claim, table: NodeColumns, tiers: Iterable[Tier], extra: Blocker | None
    ) -> Iterator[Scored]:
        """Rows by tier, some of each: the first is the best of all."""
        board = self.selection.board(claim, demand_of(claim.demand), table)
        rng = self.selection.rng
        for tier in tiers:
            if tier.rows is None:
                among = board.ranking.best(_but(tier.outside, extra), 1 + ALTERNATIVES)
            elif len(tier.rows) <= SMALL:
                among = _sorted(board.fitting(tier.rows, extra), table, rng)
            elif board.any_fits(tier.rows):
                among = board.ranking.best(_only(frozenset(tier.rows), extra), 1 + ALTERNATIVES)
            else:
                continue
            yield from ((tier.score, row) for _, row in among)


def _sorted(among: list[Scored], table: NodeColumns, rng: Rng | None) -> list[Scored]:
    """Best first; among the best one by name, or one at random."""
    among.sort(key=lambda each: (-each[0], table.rank[each[1]]))
    if rng is not None and among:
        ties = sum(value == among[0][0] for value, _ in among)
        first = one_of(range(ties), rng)
        among[0], among[first] = among[first], among[0]
    return among


def _but(outside: frozenset[int], extra: Blocker | None) -> Blocker | None:
    if not outside:
        return extra
    return lambda row: _APART if row in outside else extra(row) if extra else ""


def _only(rows: frozenset[int], extra: Blocker | None) -> Blocker:
    return lambda row: _APART if row not in rows else extra(row) if extra else ""
