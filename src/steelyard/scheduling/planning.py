"""The planner's view of the controller's state, kept up to date change by change, and its plans as events.

A *unit* is what is planned whole: an array's task or a reduce step by its task's name, a gang by its
job's. Seats of waiting and running tasks are reserved on the node table; a task that moves has two.
Cost: one change touches one unit; a round is the planner's.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace

from steelyard.cluster.node_table import NodeTable
from steelyard.model.controller_event import ClaimsReleased, Event, MoveOrdered, Placed, Preempted
from steelyard.model.errors import BadRequest
from steelyard.model.job import RunningJob
from steelyard.model.job_record import Seat, TaskRecord, TaskState
from steelyard.model.node import Node
from steelyard.model.ordering_policy import AccountingOrdering, LearningOrdering
from steelyard.model.placement_policy import Placement, Refusal, demand_of
from steelyard.policies.feasibility import wanted, why_not
from steelyard.policies.history import DurationHistory, NodeHistory
from steelyard.scheduling.controller_state import ControllerState
from steelyard.scheduling.explanation import explain
from steelyard.scheduling.gangs import release
from steelyard.scheduling.memory import RoundMemory
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.plan import Plan, Start, Wait
from steelyard.scheduling.planner import plan
from steelyard.scheduling.queue import JobQueue
from steelyard.scheduling.quotas import QuotaBook
from steelyard.scheduling.units import (
    NODE_LABEL,
    TARGET_SUFFIX,
    claim_of,
    past_unit,
    queued_unit,
    running_unit,
    tasks_of_unit,
    unit_of,
)

FORMER_NODE = "no node of this service any more: its tasks run to their ends"


class Planning:
    """One controller's planner."""

    def __init__(self, state: ControllerState, options: PlanOptions) -> None:
        # What ended teaches how long its like will take, and on which node its like is slow (seed, 4.3).
        # It is learned anew from the records at each start, so it needs no store of its own.
        self.durations = DurationHistory()
        self.slowness = NodeHistory()
        # So is what an ordering learns: in its own copy, since a planner that starts anew learns it again.
        self.options = replace(
            options,
            ordering=deepcopy(options.ordering),
            slow_nodes=lambda job: self.slowness.slow_nodes(job.user, job.name),
        )
        # Asked once: a look at a protocol costs as much as a change of a record.
        ordering = self.options.ordering
        self._learner = ordering if isinstance(ordering, LearningOrdering) else None
        self._accountant = ordering if isinstance(ordering, AccountingOrdering) else None
        self.table = NodeTable()
        self.queue = JobQueue(self.options.ordering)
        self.memory = RoundMemory()
        self.last = Plan()
        self._state = state
        self._running: dict[str, RunningJob] = {}
        self._former: Collection[str] = ()
        past = sorted(state.tasks.values(), key=lambda task: task.since_s)
        self._account_past(past)
        self.follow(past)

    # --- what changed -------------------------------------------------------------------------------------

    def follow(self, tasks: Iterable[TaskRecord]) -> None:
        """Take in changed tasks."""
        units: dict[str, None] = {}
        for task in tasks:
            self._learn(task)
            self._reserve(task)
            units[unit_of(self._state, task)] = None
            job = self._state.jobs[task.job_id]
            if task.is_final or job.specification.max_parallel or job.specification.reduce_command:
                units |= dict.fromkeys(self._neighbours(task))
        for unit in units:
            self._refresh(unit)

    def _learn(self, task: TaskRecord) -> None:
        """Take in how long a task ran that is done; of a gang, the first member speaks for all."""
        wanted = self._state.jobs[task.job_id].specification
        if task.state is not TaskState.DONE or task.is_reduce or (wanted.gang and task.index):
            return
        self.durations.observe(wanted.user, wanted.name, wanted.demand.gpus, task.ran_s, task.since_s)
        held = self.table.reservations.get(task.task_id)
        if held is not None:
            self.slowness.observe(wanted.user, wanted.name, held.node_id, task.ran_s)
        if self._learner is not None:
            members = tasks_of_unit(self._state, unit_of(self._state, task))
            whole = past_unit(self._state, members, self.table, self.durations)
            self._learner.observe_end(whole, task.ran_s, task.since_s)

    def _account(self, unit: str, before: RunningJob, now: RunningJob | None) -> None:
        """Tell an ordering that keeps accounts what a unit held, once it holds it no more."""
        goes_on = now is not None and now.started_s == before.started_s
        if goes_on or self._accountant is None:
            return
        until_s = max(task.since_s for task in tasks_of_unit(self._state, unit))
        self._accountant.observe_use(before.job, max(0.0, until_s - before.started_s), until_s)

    def _account_past(self, tasks: Iterable[TaskRecord]) -> None:
        """The same, of all that ran before this planner began; each task for itself."""
        if self._accountant is not None:
            for task in tasks:
                if task.ran_s:
                    alone = past_unit(self._state, [task], self.table, self.durations)
                    self._accountant.observe_use(alone, task.ran_s, task.since_s)

    def _neighbours(self, task: TaskRecord) -> Iterable[str]:
        """Units whose turn may have come by this change: of its own job, and of jobs that wait for it."""
        state = self._state
        job_ids = [task.job_id] if state.jobs[task.job_id].specification.max_parallel else []
        if not state.open_tasks[task.job_id]:
            job_ids += state.dependents.get(task.job_id, ())
        for job_id in job_ids:
            for each in state.tasks_of(job_id):
                if each.state is TaskState.QUEUED:
                    yield unit_of(state, each)
        if state.jobs[task.job_id].specification.reduce_command and state.open_tasks[task.job_id] <= 1:
            yield state.jobs[task.job_id].task_ids()[-1]

    def _refresh(self, unit: str) -> None:
        """Put a unit where it belongs: into the queue, among what runs, or nowhere."""
        if unit in self.queue:
            self.queue.remove(unit)
        before = self._running.pop(unit, None)
        queued = queued_unit(self._state, unit, self.table, self.durations)
        running = None
        if queued is not None:
            self.queue.add(queued)
        else:
            running = running_unit(self._state, unit, self.table, self.durations)
        if running is not None:
            self._running[unit] = running
        if before is not None:
            self._account(unit, before, running)

    def _reserve(self, task: TaskRecord) -> None:
        """Hold exactly the seats that the task has."""
        seats = {task.task_id: task.seat or task.kept, task.task_id + TARGET_SUFFIX: task.target}
        missing: dict[str, Seat] = {}
        # Give back before taking: a task that moved in takes what was held for it as its target.
        for name, seat in seats.items():
            held = self.table.reservations.get(name)
            if held is not None and (seat is None or (held.node_id, held.devices) != _place(seat)):
                self.table.release(name)
                held = None
            if held is None and seat is not None and seat.node_id in self.table.row_of:
                missing[name] = seat
        for name, seat in missing.items():
            claim = claim_of(self._state, task, self.table, name.removeprefix(task.task_id))
            # It may not fit when the node shrank since. It runs on; that nothing is free there is true.
            with suppress(ValueError):
                self.table.reserve(Placement(seat.node_id, seat.devices, 0.0, "held"), claim)

    # --- nodes --------------------------------------------------------------------------------------------

    def know_nodes(self, nodes: Sequence[Node], former: Collection[str] = ()) -> None:
        """Take in the nodes that there are; a changed capacity makes a node a new one.

        former: those that take no tasks since they are to go.
        """
        self._former = former
        table, changed = self.table, False
        wanted = {node.node_id: _labelled(node) for node in nodes}
        for node_id in [*table.row_of]:
            if wanted.get(node_id) != table.nodes[table.row_of[node_id]]:
                table.remove(node_id)
                changed = True
        for node_id, node in wanted.items():
            if node_id not in table.row_of:
                table.add(node)
                changed = True
        if changed:
            self.follow([task for task in self._state.tasks.values() if not task.is_final])
        self.judge_nodes()

    def judge_nodes(self) -> None:
        """Take in which nodes may be given tasks."""
        table, changed = self.table, False
        for node_id, row in table.row_of.items():
            decided = self._state.node(node_id)
            reason = "lost" if decided.lost else decided.cordoned
            if not reason and node_id in self._former:
                reason = FORMER_NODE
            if table.usable[row] == bool(reason):
                table.set_usable(node_id, not reason, reason)
                changed = True
        if changed:
            # Those that name their nodes may go to their backup now, or may not any more.
            jobs = self._state.jobs
            queued = [self._state.tasks[name] for name in self._state.by_state[TaskState.QUEUED]]
            self.follow([task for task in queued if jobs[task.job_id].specification.nodes])

    def measure(self, node_id: str, used_fractions: Mapping[str, float]) -> None:
        """Take in a node's measured load."""
        if node_id in self.table.row_of:
            self.table.measure(node_id, used_fractions)

    # --- rounds -------------------------------------------------------------------------------------------

    def round(self, now_s: float) -> list[Event]:
        """What to do now, as events for the controller."""
        if not self.table.row_of:
            return []
        self.last = plan(self.queue, self._running.values(), self.table, self.options, now_s, self.memory)
        events: list[Event] = [
            ClaimsReleased(job_id=unit, reason=reason) for unit, reason in self.last.releases.items()
        ]
        events += [
            Preempted(task_ids=tuple(self._running[each.job_id].placements), reason=each.reason)
            for each in self.last.preemptions
            if each.job_id in self._running
        ]
        events += [self._placed(start) for start in self._fitting(self.last.starts.values())]
        events += [
            MoveOrdered(
                task_id=move.task_id, target=Seat(move.to.node_id, move.to.devices), reason=move.reason
            )
            for move in self.last.moves
        ]
        return events

    def _fitting(self, starts: Iterable[Start]) -> list[Start]:
        """Those for which there is room now; the others wait for somebody to leave and are planned again.

        Not only those with `after`: a later start may sit in what the victims of an earlier one leave.
        """
        mark = self.table.begin_trial()
        for unit in self.last.releases:
            release(self.table, self.queue.jobs[unit].kept)
        fitting = []
        for start in starts:
            job = self.queue.jobs[start.job_id]
            claims, kept = {claim.task_id: claim for claim in job.claims}, job.kept
            before = self.table.begin_trial()
            try:
                for name, place in start.placements.items():
                    if name not in kept:
                        self.table.reserve(place, claims[name])
            except ValueError:
                self.table.roll_back(before)
            else:
                self.table.accept()
                fitting.append(start)
        self.table.roll_back(mark)
        return fitting

    def _placed(self, start: Start) -> Placed:
        first = next(iter(start.placements))
        return Placed(
            job_id=self._state.tasks[first].job_id,
            seats={name: Seat(place.node_id, place.devices) for name, place in start.placements.items()},
            why={name: _sentence(place, start.backfilled) for name, place in start.placements.items()},
        )

    def seat_on(self, task: TaskRecord, node_id: str, now_s: float) -> Seat:
        """A seat for a task on a given node. Raises BadRequest when there is none."""
        if node_id not in self.table.row_of:
            raise unknown_node(node_id, self.table.row_of)
        if task.node_id == node_id and task.target is None:
            raise BadRequest(f"task {task.task_id} is on {node_id} already", http_status=409)
        claim = claim_of(self._state, task, self.table, TARGET_SUFFIX, only_node_id=node_id)
        found = self.options.placement.place(claim, self.table, now_s)
        if isinstance(found, Refusal):
            asked = wanted(demand_of(claim.demand), claim.gpu_models)
            row = self.table.row_of[node_id]
            why = self.table.unusable_reason[row] or why_not(claim, self.table, row) or found.sentence
            raise BadRequest(f"task {task.task_id} ({asked}) cannot go to {node_id}: {why}", http_status=409)
        return Seat(found.node_id, found.devices)

    def held_by_tenant(self) -> Mapping[str, Mapping[str, float]]:
        """What tenants with a quota hold of what is counted, kept places included."""
        keepers = self.queue.holding.values()
        return QuotaBook.of(self.options.quotas, self._running.values(), keepers).held

    def last_wait_of(self, task: TaskRecord) -> Wait | None:
        """Why a queued task waits, as the last round saw it; None when it did not look."""
        blocked = self._state.what_blocks(task)
        if blocked:
            return Wait(reason="dependency", sentence=blocked)
        return self.last.waits.get(unit_of(self._state, task))

    def wait_of(self, task: TaskRecord, now_s: float) -> Wait | None:
        """Why a queued task waits, looked at now; None for one that does not."""
        blocked = self._state.what_blocks(task)
        if blocked:
            return Wait(reason="dependency", sentence=blocked)
        unit = unit_of(self._state, task)
        if unit not in self.queue:
            return None
        behind = self.last.head if self.last.head != unit else ""
        job, running = self.queue.jobs[unit], self._running.values()
        found = explain(job, running, self.table, self.options, now_s, behind)
        promise = self.memory.promises.get(unit)
        return replace(found, feasible_s=promise.start_s) if promise is not None else found


def unknown_node(node_id: str, known: Iterable[str]) -> BadRequest:
    """What to say of a node that there is not, among those that have reported."""
    names = ", ".join(sorted(known)) or "none yet, so ask again in a moment"
    return BadRequest(f"there is no node {node_id!r}: known are {names}", http_status=404)


def _place(seat: Seat) -> tuple[str, tuple[int, ...]]:
    return seat.node_id, seat.devices


def _labelled(node: Node) -> Node:
    return Node(
        node_id=node.node_id,
        capacity=node.capacity,
        labels={**node.labels, NODE_LABEL: node.node_id},
        spare=node.spare,
    )


def _sentence(place: Placement, backfilled: bool) -> str:
    rest = "".join(f", {node_id} {score + 0.0:.3g}" for node_id, score in place.alternatives[:4])
    early = "; ahead of the first in the queue, without delaying it" if backfilled else ""
    return f"placed on {place.node_id} by {place.reason} (score {place.score + 0.0:.3g}{rest}){early}"
