"""Filter, then score, then break the tie: what all scoring placement policies share.

A policy says how a row scores for a demand (`Scoring`), and perhaps which GPUs it wants; this finds the best
row among those that fit, first among the claim's preferred nodes, last among hot spares. Boards are kept a
(demand, GPU models); the oldest go when there are more than `MAX_BOARDS`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.placement_policy import Claim, Demand, NodeColumns, Placement, Refusal, demand_of
from steelyard.policies.feasibility import (
    SPARE,
    Blocker,
    blocker,
    extra_blocker,
    refusal,
    tightest_devices,
)
from steelyard.policies.score_board import NamedTies, RandomTies, Score, ScoreBoard
from steelyard.policies.ties import one_of

MAX_BOARDS = 512
ALTERNATIVES = 2

Scoring = Callable[[Demand, NodeColumns], Score]
Devices = Callable[[Demand, NodeColumns, int], tuple[int, ...]]


@dataclass(slots=True)
class Selection:
    """The best row of a scoring.

    rng: with one, ties go to one at random; without, to the first by name.
    """

    reason: str
    scoring: Scoring
    devices: Devices = tightest_devices
    rng: Rng | None = None
    _table: NodeColumns | None = None
    _layout: int = -1
    _boards: dict[tuple[Demand, tuple[str, ...]], ScoreBoard] = field(default_factory=dict)

    def forget(self) -> None:
        """Scores no longer hold; look at all rows again."""
        self._boards.clear()

    def place(self, claim: Claim, table: NodeColumns) -> Placement | Refusal:
        """The best fitting node."""
        demand = demand_of(claim.demand)
        extra = extra_blocker(claim, table)
        preferred = self.preferred(claim, demand, extra, table)
        if preferred is not None:
            return preferred
        board = self.board(claim, demand, table)
        found = board.ranking.best(extra, 1 + ALTERNATIVES)
        if not found:
            return self._from_spares(claim, demand, extra, table, board)
        return self.placement(demand, table, found)

    def preferred(
        self, claim: Claim, demand: Demand, extra: Blocker | None, table: NodeColumns
    ) -> Placement | None:
        """On the first of the claim's preferred nodes on which it fits, if there is one."""
        if not claim.preferred_nodes:
            return None
        blocks = blocker(demand, claim.gpu_models, table)
        for node_id in claim.preferred_nodes:
            row = table.row_of.get(node_id)
            if row is not None and not blocks(row) and not (extra and extra(row)):
                return Placement(node_id, self.devices(demand, table, row), 0.0, "preferred")
        return None

    def board(self, claim: Claim, demand: Demand, table: NodeColumns) -> ScoreBoard:
        """The scores of claims of this shape, as of now."""
        if table is not self._table or table.layout != self._layout:
            self._boards.clear()
            self._table, self._layout = table, table.layout
        key = (demand, claim.gpu_models)
        board = self._boards.get(key)
        if board is None:
            if len(self._boards) >= MAX_BOARDS:
                del self._boards[next(iter(self._boards))]
            ranking = NamedTies(table) if self.rng is None else RandomTies(table, self.rng)
            blocks = _without_spares(blocker(demand, claim.gpu_models, table), table)
            board = self._boards[key] = ScoreBoard(table, blocks, self.scoring(demand, table), ranking)
        else:
            board.sync()
        return board

    def _from_spares(
        self, claim: Claim, demand: Demand, extra: Blocker | None, table: NodeColumns, board: ScoreBoard
    ) -> Placement | Refusal:
        counts = board.blocked()
        spares = [row for row in table.rows() if table.spare[row]] if SPARE in counts else []
        blocks, score = blocker(demand, claim.gpu_models, table), self.scoring(demand, table)
        fitting = [row for row in spares if not blocks(row) and not (extra and extra(row))]
        if fitting:
            best = sorted(
                ((score(row), row) for row in fitting), key=lambda each: (-each[0], table.rank[each[1]])
            )
            return self.placement(demand, table, best[: 1 + ALTERNATIVES])
        return refusal(claim, demand, _all_counts(counts, blocks, extra, table))

    def placement(self, demand: Demand, table: NodeColumns, found: list[tuple[float, int]]) -> Placement:
        """The first of those found, with the others beside it."""
        score, row = found[0]
        others = tuple((table.node_ids[other], value) for value, other in found[1:])
        return Placement(table.node_ids[row], self.devices(demand, table, row), score, self.reason, others)


def _without_spares(blocks: Blocker, table: NodeColumns) -> Blocker:
    if not any(table.spare):
        return blocks
    spare = table.spare
    return lambda row: blocks(row) or (SPARE if spare[row] else "")


def _all_counts(
    counts: dict[str, int], blocks: Blocker, extra: Blocker | None, table: NodeColumns
) -> dict[str, int]:
    """The reasons of every row, those that only this claim has included."""
    if extra is None and SPARE not in counts:
        return counts
    total: dict[str, int] = {}
    for row in table.rows():
        reason = blocks(row) or (extra(row) if extra else "")
        total[reason] = total.get(reason, 0) + 1
    return total


def scan(
    claim: Claim, table: NodeColumns, demand: Demand, spares: bool = False
) -> tuple[list[int], dict[str, int]]:
    """Rows that fit, by rank, and counts of the reasons of the others: for policies that keep no board."""
    blocks, extra = blocker(demand, claim.gpu_models, table), extra_blocker(claim, table)
    fitting: list[int] = []
    counts: dict[str, int] = {}
    for row in table.rows():
        reason = blocks(row) or (extra(row) if extra else "")
        if not reason and table.spare[row] and not spares:
            reason = SPARE
        if reason:
            counts[reason] = counts.get(reason, 0) + 1
        else:
            fitting.append(row)
    if not fitting and SPARE in counts:
        return scan(claim, table, demand, spares=True)
    return fitting, counts


def best_of(
    reason: str,
    claim: Claim,
    table: NodeColumns,
    score: Callable[[int], tuple[float, ...]],
    rng: Rng | None,
) -> Placement | Refusal:
    """The best by a score that depends on more than the row and the demand, found by looking at all rows.

    score: compared entry by entry; the placement reports the first. Preferred nodes come first.
    """
    demand = demand_of(claim.demand)
    fitting, counts = scan(claim, table, demand)
    if not fitting:
        return refusal(claim, demand, counts)
    preferred = [table.row_of[each] for each in claim.preferred_nodes if each in table.row_of]
    row = next((row for row in preferred if row in fitting), None)
    if row is not None:
        return Placement(table.node_ids[row], tightest_devices(demand, table, row), 0.0, "preferred")
    scored = sorted(((score(row), row) for row in fitting), key=lambda each: each[0], reverse=True)
    ties = [row for value, row in scored if value == scored[0][0]]
    row = one_of(ties, rng) if rng is not None else ties[0]
    others = tuple((table.node_ids[other], float(value[0])) for value, other in scored if other != row)
    devices = tightest_devices(demand, table, row)
    return Placement(table.node_ids[row], devices, float(scored[0][0][0]), reason, others[:ALTERNATIVES])
