"""The jobs service: one loop round the pure controller.

Each turn takes in what waits (requests of people, what the executor observed, the time), lets the
controller decide, records all of it in one transaction, and only then performs the actions and answers
the requests. A crash before the record is a request never accepted; a crash after it is made good at the
next start, since orders carry epochs and unconfirmed ones are given again.

When the disk is full nothing of a turn is performed: the state is taken again from the journal, requests
are refused with 507, what the executor observed is told again by it later, and verdicts on nodes are kept.
"""

import queue
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from steelyard.cluster.node_load import LoadRules
from steelyard.jobs.contract import LOOPBACK, start_order
from steelyard.jobs.executor import Attempt, AttemptEvent, EventKind, Executor, NodeReport
from steelyard.jobs.executor_thread import ExecutorThread, Observed
from steelyard.jobs.node_watch import NodeWatch
from steelyard.jobs.sweeper import Sweeper
from steelyard.model.controller_event import (
    Acknowledge,
    Action,
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptStarted,
    Event,
    NodeLost,
    NodeReturned,
    Placed,
    Recovered,
    Start,
    Stop,
    TimePassed,
)
from steelyard.model.errors import BadRequest, SteelyardError
from steelyard.model.job_record import HOLDS_A_PLACE
from steelyard.policies.failure.suspicion import SuspicionRules
from steelyard.runtime.journal import Journal, JournalFull, JournalLost
from steelyard.scheduling.controller import step
from steelyard.scheduling.controller_state import Changes
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.planning import Planning
from steelyard.scheduling.retention import RetentionRules, due

LEASE_S = 5.0  # of the journal: a standby takes over so long after the last renewal
TURN_S = 0.1
PLAN_INTERVAL_S = 1.0  # moves follow measured load, so also without a change there is a round now and then
MAX_BATCH = 1000
RETENTION_INTERVAL_S = 1.0


@dataclass(slots=True)
class Request:
    """A person's order, to be answered when it is recorded.

    event: what the controller is told; or `ask`, which makes it, or answers, from the service's state.
    """

    answer: Callable[[Changes | SteelyardError], None]
    event: Event | None = None
    ask: Callable[["JobsService"], Event | None] | None = None


@dataclass(slots=True)
class _Batch:
    """One transaction's worth."""

    changes: list[Changes] = field(default_factory=list)
    answers: list[tuple[Request, Changes | SteelyardError]] = field(default_factory=list)
    verdicts: list[Observed] = field(default_factory=list)


class JobsService:
    """See the module."""

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        options: PlanOptions,
        folder: Path,
        rules: SuspicionRules | None = None,
        load: LoadRules | None = None,
        *,
        headroom: bool = False,
        retention: RetentionRules | None = None,
    ) -> None:
        self.folder = folder
        self.retention = retention or RetentionRules()
        self._sweeper = Sweeper(folder)
        self.journal = journal
        self.options = options
        self.inbox: queue.SimpleQueue[Request | Observed | None] = queue.SimpleQueue()
        self.state = journal.load()
        self.planning = Planning(self.state, options)
        self.watch = NodeWatch(load, headroom=headroom)
        self.executor = ExecutorThread(executor, rules or SuspicionRules(), self.inbox.put)
        self._base_s = journal.now_s - time.monotonic()
        self._dirty = True
        self._next_plan_s = 0.0
        self._may_plan_s = 0.0
        self._next_renewal_s = 0.0
        self._next_retention_s = 0.0
        self._untold: list[Observed] = []
        self.turns = 0
        self.broken_rounds = 0

    def now_s(self) -> float:
        """Controller time: monotonic, on from the last record or renewal, unmoved by the wall clock."""
        return self._base_s + time.monotonic()

    # --- the loop -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Find what still runs, and give unconfirmed orders again."""
        live = [
            (Attempt(task_id=task.task_id, epoch=task.epoch), task.node_id)
            for state in HOLDS_A_PLACE
            for task in map(self.state.tasks.__getitem__, self.state.by_state[state])
        ]
        lost = [node.node_id for node in self.state.nodes.values() if node.lost]
        self.executor.begin(live, lost)
        self._sweeper.sweep_unknown(self.state.jobs, self.state.next_job)
        batch = _Batch()
        self._step(batch, Recovered())
        self._settle(batch)

    def run(self) -> None:
        """Serve until the inbox holds None. Raises JournalLost when another took over or the disk fails."""
        self.begin()
        try:
            while self.turn():
                pass
        finally:
            self.executor.end()
            self._sweeper.end()

    def turn(self) -> bool:
        """Take in what waits, or let a little time pass. False at the end."""
        self.turns += 1
        batch = _Batch()
        self._renew(batch)
        going = self._take_in(batch)
        self._step(batch, TimePassed())
        self._forget(batch)
        self._settle(batch)
        now_s = self.now_s()
        if going and now_s >= (self._may_plan_s if self._dirty else self._next_plan_s):
            self._plan(now_s)
        return going

    def _forget(self, batch: _Batch) -> None:
        """What ended long ago goes, a little at a time."""
        now_s = self.now_s()
        if now_s >= self._next_retention_s:
            event = due(self.state, self.retention, now_s)
            if event is not None:
                self._step(batch, event)
            else:
                self._next_retention_s = now_s + RETENTION_INTERVAL_S

    def _renew(self, batch: _Batch) -> None:
        if time.monotonic() < self._next_renewal_s:
            return
        self._next_renewal_s = time.monotonic() + LEASE_S / 4
        try:
            self.journal.renew(LEASE_S, self.now_s())
        except JournalFull:
            return  # the lease may run out: each record checks that nobody took over
        untold, self._untold = self._untold, []
        for verdicts in untold:
            self._judge(batch, verdicts)

    def _take_in(self, batch: _Batch) -> bool:
        try:
            item = self.inbox.get(timeout=self._patience_s())
            for _ in range(MAX_BATCH):
                if item is None:
                    return False
                if isinstance(item, Observed):
                    self._observe(batch, item)
                else:
                    self._consider(batch, item)
                item = self.inbox.get_nowait()
            self.inbox.put(item)
        except queue.Empty:
            pass
        return True

    def _patience_s(self) -> float:
        return min(TURN_S, max(0.0, self._may_plan_s - self.now_s())) if self._dirty else TURN_S

    def _consider(self, batch: _Batch, request: Request) -> None:
        """A person's order; what cannot be followed is answered with its sentence."""
        try:
            event = self._read(request)
            changes = self._step(batch, event) if event is not None else Changes()
            batch.answers.append((request, changes))
        except SteelyardError as error:
            batch.answers.append((request, error))

    def _read(self, request: Request) -> Event | None:
        """The event that is asked for. Raises what the request's own fault is, as a SteelyardError."""
        try:
            return request.ask(self) if request.ask is not None else request.event
        except (ValueError, TypeError) as error:
            # Here only: such an error in a step is ours, and leaves a state that the journal does not hold.
            raise BadRequest(f"a value of the request is of no use: {error}") from None

    def _step(self, batch: _Batch, event: Event) -> Changes:
        changes = step(self.state, event, self.now_s())
        if not changes.is_empty or changes.actions:
            batch.changes.append(changes)
            self.planning.follow(changes.tasks.values())
            self._dirty = True
        if changes.nodes:
            self.planning.judge_nodes()
        return changes

    def _settle(self, batch: _Batch) -> None:
        """Record, then perform and answer."""
        written = [changes for changes in batch.changes if not changes.is_empty]
        try:
            if written:
                self.journal.record(written, self.now_s(), time.time())
        except JournalFull as error:
            self._untold = batch.verdicts + self._untold
            self._forget_turn()
            for request, _ in batch.answers:
                request.answer(error)
            return
        except JournalLost as error:
            for request, _ in batch.answers:
                request.answer(error)
            raise
        for changes in batch.changes:
            for action in changes.actions:
                self._perform(action)
            self._sweeper.sweep(changes.forgotten_jobs)
        for request, outcome in batch.answers:
            request.answer(outcome)

    def _forget_turn(self) -> None:
        """Nothing of this turn was written: what is so is what the journal holds."""
        self.state = self.journal.load()
        self.planning = Planning(self.state, self.options)
        self._know_nodes()

    def _know_nodes(self) -> None:
        self.planning.know_nodes(self.watch.nodes(), self.watch.former())

    # --- what goes out ------------------------------------------------------------------------------------

    def _perform(self, action: Action) -> None:
        attempt = Attempt(task_id=action.task_id, epoch=action.epoch)
        if isinstance(action, Start):
            task = self.state.tasks[action.task_id]
            if task.epoch == action.epoch and task.holds_a_place:
                try:
                    order = start_order(self.state, action, self.folder, self.watch.addresses())
                except OSError as error:
                    reason = f"{error.filename}: {error.strerror}"
                    refusal = AttemptEvent(attempt=attempt, kind=EventKind.REFUSED, reason=reason)
                    self.inbox.put(Observed(events=(refusal,)))
                    return
                self.executor.start(order)
        elif isinstance(action, Stop):
            self.executor.stop(attempt, action.grace_s)
        elif isinstance(action, Acknowledge):
            self.executor.acknowledge(attempt)

    # --- what comes in ------------------------------------------------------------------------------------

    def _observe(self, batch: _Batch, seen: Observed) -> None:
        if seen.failure:
            raise SteelyardError(f"the executor cannot go on: {seen.failure}")
        for event in seen.events:
            self._step(batch, _as_event(event))
        if seen.lost or seen.returned:
            self._judge(batch, Observed(lost=seen.lost, returned=seen.returned))
        if seen.reports is not None:
            self._measure(seen.reports)

    def _judge(self, batch: _Batch, verdicts: Observed) -> None:
        """Nodes lost and returned, which are told once: what a full disk does not take waits, in order."""
        if self._untold:
            self._untold.append(verdicts)
            return
        batch.verdicts.append(verdicts)
        for node_id, reason in verdicts.lost:
            self._step(batch, NodeLost(node_id=node_id, reason=reason))
        for node_id in verdicts.returned:
            self._step(batch, NodeReturned(node_id=node_id))

    def _measure(self, reports: Iterable[NodeReport]) -> None:
        if self.watch.observe(reports):
            self._know_nodes()
            self._dirty = True
        for node_id, fractions in self.watch.used_fractions():
            self.planning.measure(node_id, fractions)

    # --- planning -----------------------------------------------------------------------------------------

    def _plan(self, now_s: float) -> None:
        began_s = time.monotonic()
        self._dirty = False
        batch = _Batch()
        for event in self._round(now_s):
            try:
                self._step(batch, self._with_port(event))
            except BadRequest:
                continue  # the plan is older than what this turn learned; the next one knows
        self._settle(batch)
        # A long round must not keep the service from answering: at most half of its time goes to plans.
        took_s = time.monotonic() - began_s
        self._may_plan_s = self.now_s() + took_s
        self._next_plan_s = self.now_s() + max(PLAN_INTERVAL_S, took_s)

    def _round(self, now_s: float) -> list[Event]:
        """A round of planning. A policy that breaks must not end the watch over what runs: it is said and
        counted, the planner starts afresh from the records, and there is another round later.
        """
        try:
            return self.planning.round(now_s)
        except Exception as error:  # noqa: BLE001  (policies may be anybody's)
            self.broken_rounds += 1
            print(f"steelyard: a round of planning broke: {error!r}", file=sys.stderr, flush=True)
            self.planning = Planning(self.state, self.options)
            self._know_nodes()
            return []

    def _with_port(self, event: Event) -> Event:
        if not isinstance(event, Placed) or not self.state.jobs[event.job_id].specification.gang:
            return event
        with socket.create_server((LOOPBACK, 0)) as probe:
            port: int = probe.getsockname()[1]
        return replace(event, meeting_port=port)


def _as_event(event: AttemptEvent) -> Event:
    task_id, epoch = event.attempt.task_id, event.attempt.epoch
    if event.kind is EventKind.STARTED:
        return AttemptStarted(task_id=task_id, epoch=epoch)
    if event.kind is EventKind.REFUSED:
        return AttemptRefused(
            task_id=task_id,
            epoch=epoch,
            reason=event.reason,
            node_fault=event.node_fault,
            executor_fault=event.executor_fault,
        )
    if event.kind is EventKind.LOST:
        return AttemptLost(task_id=task_id, epoch=epoch, reason=event.reason)
    return AttemptEnded(
        task_id=task_id,
        epoch=epoch,
        exit_code=event.exit_code,
        asked_to_stop=event.asked_to_stop,
        reason=event.reason,
        node_fault=event.node_fault,
        timed_out=event.timed_out,
    )
