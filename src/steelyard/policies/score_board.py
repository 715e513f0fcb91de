"""Scores of one shape of claim over all nodes, kept up to date from what changed, best first.

A cluster sees few shapes of claims and a placement changes one node, so most scores stay valid: scoring all
5,000 nodes again for each task would cost a hundred times as much. Two tie rules: `NamedTies` takes the first
node by name, `RandomTies` one at random, each of k equals with chance 1/k. Cost: O(log n) a changed score.
"""

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import Protocol

from steelyard.model.chance import Rng
from steelyard.model.placement_policy import NodeColumns
from steelyard.policies.feasibility import Blocker
from steelyard.policies.ties import one_of

Score = Callable[[int], float]
Scored = tuple[float, int]
"""A score and its row."""

BLOCKED = float("-inf")


class Ranking(Protocol):
    """Rows by score, under a tie rule."""

    def set(self, row: int, score: float) -> None:
        """A row has a score now; BLOCKED takes it out."""
        ...

    def best(self, blocks: Blocker | None, count: int) -> list[Scored]:
        """Up to `count` rows, best first, without those that `blocks` rules out."""
        ...


class NamedTies:
    """A heap with lazy deletion: entries whose score is no longer the row's are dropped when met."""

    __slots__ = ("_heap", "_rank", "_rows", "_scores")

    def __init__(self, table: NodeColumns) -> None:
        self._scores = [BLOCKED] * len(table.node_ids)
        self._rank = table.rank
        self._rows = table.rows()
        self._heap: list[tuple[float, int]] = []

    def set(self, row: int, score: float) -> None:
        """Push a changed score; build the heap anew when stale entries outnumber rows."""
        if score == self._scores[row]:
            return
        self._scores[row] = score
        if score == BLOCKED:
            return
        heap = self._heap
        heappush(heap, (-score, self._rank[row]))
        if len(heap) > 2 * len(self._scores) + 64:
            live = [row for row in self._rows if self._scores[row] != BLOCKED]
            self._heap = [(-self._scores[row], self._rank[row]) for row in live]
            heapify(self._heap)

    def best(self, blocks: Blocker | None, count: int) -> list[Scored]:
        """Pop until enough are found, and push what is still valid back."""
        heap, scores, rows = self._heap, self._scores, self._rows
        found: list[Scored] = []
        popped: list[tuple[float, int]] = []
        last = None
        while heap and len(found) < count:
            entry = heappop(heap)
            row = rows[entry[1]]
            # The same entry is there twice when a score went away and came back.
            if scores[row] != -entry[0] or entry == last:
                continue
            last = entry
            popped.append(entry)
            if blocks is None or not blocks(row):
                found.append((-entry[0], row))
        for entry in popped:
            heappush(heap, entry)
        return found


class RandomTies:
    """A bucket of rows for each score, and a heap of the scores."""

    __slots__ = ("_at", "_buckets", "_heap", "_rng", "_scores")

    def __init__(self, table: NodeColumns, rng: Rng) -> None:
        rows = len(table.node_ids)
        self._rng = rng
        self._scores = [BLOCKED] * rows
        self._at = [0] * rows
        self._buckets: dict[float, list[int]] = {}
        self._heap: list[float] = []

    def set(self, row: int, score: float) -> None:
        """Move a row to its score's bucket."""
        old = self._scores[row]
        if score == old:
            return
        if old != BLOCKED:
            self._take_out(row, old)
        self._scores[row] = score
        if score == BLOCKED:
            return
        bucket = self._buckets.get(score)
        if bucket is None:
            bucket = self._buckets[score] = []
            heappush(self._heap, -score)
        self._at[row] = len(bucket)
        bucket.append(row)

    def _take_out(self, row: int, score: float) -> None:
        bucket = self._buckets[score]
        at, last = self._at[row], bucket.pop()
        if last != row:
            bucket[at] = last
            self._at[last] = at
        if not bucket:
            del self._buckets[score]

    def best(self, blocks: Blocker | None, count: int) -> list[Scored]:
        """One of the best at random; what follows it is best first, in no order among equals."""
        heap, found, kept = self._heap, list[Scored](), list[float]()
        while heap and len(found) < count:
            key = heappop(heap)
            bucket = self._buckets.get(-key)
            if bucket is None or (kept and kept[-1] == key):
                continue
            kept.append(key)
            fitting = bucket if blocks is None else [row for row in bucket if not blocks(row)]
            if not fitting:
                continue
            first = one_of(fitting, self._rng) if not found else fitting[0]
            found.append((-key, first))
            found += [(-key, row) for row in fitting[:count] if row != first][: count - len(found)]
        for key in kept:
            heappush(heap, key)
        return found


class ScoreBoard:
    """Filter and score of one shape: which rows fit, what each scores, and why the others do not fit."""

    __slots__ = ("_blocks", "_position", "_reasons", "_score", "_table", "_why", "ranking")

    def __init__(self, table: NodeColumns, blocks: Blocker, score: Score, ranking: Ranking) -> None:
        self.ranking = ranking
        self._table = table
        self._blocks = blocks
        self._score = score
        self._why = [""] * len(table.node_ids)
        self._reasons: dict[str, int] = {}
        self._position = table.position
        self._look_at(table.rows())

    def sync(self) -> None:
        """Look again at the rows that changed."""
        table = self._table
        position = table.position
        if position == self._position:
            return
        changed = table.changed_since(self._position)
        self._position = position
        self._look_at(table.rows() if changed is None else set(changed))

    def _look_at(self, rows: Iterable[int]) -> None:
        blocks, score, why, rank = self._blocks, self._score, self._why, self.ranking.set
        for row in rows:
            reason = blocks(row)
            old = why[row]
            if reason != old:
                why[row] = reason
                self._count(old, reason)
            elif reason:
                continue
            rank(row, BLOCKED if reason else score(row))

    def _count(self, old: str, new: str) -> None:
        reasons = self._reasons
        if new:
            reasons[new] = reasons.get(new, 0) + 1
        if old:
            reasons[old] -= 1
            if not reasons[old]:
                del reasons[old]

    def fitting(self, rows: Iterable[int], extra: Blocker | None) -> list[Scored]:
        """Those of some rows on which the shape fits, each with its score."""
        why, score = self._why, self._score
        return [(score(row), row) for row in rows if not why[row] and not (extra and extra(row))]

    def any_fits(self, rows: Iterable[int]) -> bool:
        """Whether the shape fits on one of some rows."""
        why = self._why
        return any(not why[row] for row in rows)

    def blocked(self) -> dict[str, int]:
        """How many nodes each reason rules out."""
        return dict(self._reasons)
