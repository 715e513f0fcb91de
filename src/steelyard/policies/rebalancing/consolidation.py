"""Empty the least used nodes onto others, so that whole nodes fall free for wide jobs, or may be switched
off.

Off unless asked for. A node is emptied whole or not at all: evicting and placing anew is tried on the table
first, as KAI's consolidation does on a snapshot; unlike it, the budget of moves and each job's rest are kept
(KAI#146). Nothing moves onto a node that is empty, and no job whose stop and start would take more than a
small share of what it has left. Least used node first, then by name; a node's tasks, largest first. Cost:
one pass over nodes, one placement a task on the nodes tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from steelyard.model.job import RunningJob
from steelyard.model.placement_policy import Claim, PlacementPolicy, Refusal
from steelyard.model.rebalancing_policy import Proposal, Trial
from steelyard.policies.rebalancing.budget import MoveBudget, cost_s


@dataclass(slots=True, kw_only=True)
class Consolidation:
    """Empties nodes.

    most_used: nodes above this used fraction of every resource they have are left alone.
    most_cost: the largest share of a job's time left that a move may take.
    unknown_s: time left of a job of which nobody knows.
    undeclared_cost_s: checkpoint and restart of a job that does not say what they take.
    """

    most_used: float = 0.5
    most_cost: float = 0.05
    unknown_s: float = 3600.0
    undeclared_cost_s: float = 30.0
    budget: MoveBudget = field(default_factory=lambda: MoveBudget(per_round=8))

    def proposals(
        self, running: Sequence[RunningJob], table: Trial, placement: PlacementPolicy, now_s: float
    ) -> list[Proposal]:
        """Moves that empty at least one node, or none."""
        left = self.budget.left(now_s)
        movable = {claim.task_id: (each, claim) for each in running for claim in each.job.claims}
        found: list[Proposal] = []
        touched: set[str] = set()  # jobs that move, nodes that take in
        for row, task_ids in self._least_used(movable, table):
            tasks = [movable[each] for each in task_ids]
            jobs = {each.job_id for each, _ in tasks}
            if len(found) + len(tasks) > left or jobs & touched or table.node_ids[row] in touched:
                continue
            if len(tasks) < table.task_counts[row] or not all(self._may(each, now_s) for each, _ in tasks):
                continue
            moves = self._emptied(row, tasks, table, placement, now_s)
            touched |= jobs | {move.to.node_id for move in moves} if moves else set()
            found += moves
        self.budget.spend(len(found), now_s)
        return found

    def _may(self, each: RunningJob, now_s: float) -> bool:
        left_s = each.remaining_s(now_s, self.unknown_s)
        return (
            self.budget.may_move(each, now_s)
            and cost_s(each, self.undeclared_cost_s) <= self.most_cost * left_s
        )

    def _least_used(
        self, movable: Mapping[str, tuple[RunningJob, Claim]], table: Trial
    ) -> list[tuple[int, list[str]]]:
        """(row, tasks on it), least used first, of nodes that are used but not much."""
        on_node: dict[str, list[str]] = {}
        for task_id, (each, _) in movable.items():
            if task_id in each.placements:
                on_node.setdefault(each.placements[task_id].node_id, []).append(task_id)
        rows = [table.row_of[node_id] for node_id in on_node if node_id in table.row_of]
        used = {
            row: max(table.used_fraction(row, name) for name in ("cpu_cores", "memory_bytes", "gpus"))
            for row in rows
        }
        rows = [row for row in rows if used[row] <= self.most_used]
        rows.sort(key=lambda row: (used[row], table.rank[row]))
        return [(row, on_node[table.node_ids[row]]) for row in rows]

    def _emptied(
        self,
        row: int,
        tasks: list[tuple[RunningJob, Claim]],
        table: Trial,
        placement: PlacementPolicy,
        now_s: float,
    ) -> list[Proposal]:
        """Places elsewhere for all tasks of a node, reserved; or none, with the table as it was."""
        node_id = table.node_ids[row]
        empty = tuple(table.node_ids[each] for each in table.rows() if not table.task_counts[each])
        tasks = sorted(tasks, key=lambda task: (-task[1].demand.gpus, -task[1].demand.cpu_cores))
        moves: list[Proposal] = []
        mark = table.begin_trial()
        for each, claim in tasks:
            table.release(claim.task_id)
            away = replace(claim, forbidden_nodes=(*claim.forbidden_nodes, node_id, *empty))
            place = placement.place(away, table, now_s)
            if isinstance(place, Refusal):
                table.roll_back(mark)
                return []
            table.reserve(place, claim)
            moves.append(
                Proposal(
                    job_id=each.job_id,
                    task_id=claim.task_id,
                    from_node_id=node_id,
                    to=place,
                    gain_s=0.0,
                    cost_s=cost_s(each, self.undeclared_cost_s),
                    reason="consolidation",
                )
            )
        table.accept()
        return moves
