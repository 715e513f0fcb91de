"""One planning round: the queue, what runs, the nodes and the time give a plan. Nothing else does.

Jobs are looked at in the order of the policy. Each starts whole if it fits; the first that does not becomes
the *head*: it may take the places of jobs that stand behind it, else it gets a reservation, and later jobs
start only if they do not delay it. Jobs of a shape that did not fit are not tried again in the round, nor,
with a `RoundMemory`, in later rounds as long as nothing was freed. The table is left as it was.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from steelyard.cluster.node_table import NodeTable
from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import ClusterView
from steelyard.model.placement_policy import Placement
from steelyard.model.resources import Resources
from steelyard.scheduling.backfill import HeadReservation, reserve_head
from steelyard.scheduling.bounds import Bounds
from steelyard.scheduling.conservative import PromiseBook, due_first, still_valid
from steelyard.scheduling.gangs import GangRefusal, GangSearch, release
from steelyard.scheduling.memory import RoundMemory
from steelyard.scheduling.moves import planned_moves
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.plan import Move, Plan, Preemption, Start, Wait
from steelyard.scheduling.preemption import Preemptor, lost_s
from steelyard.scheduling.queue import JobQueue, in_order
from steelyard.scheduling.quotas import QuotaBook
from steelyard.scheduling.waits import never_fits, over_quota, too_little, total_capacity

_NOTHING = Resources()

__all__ = ["Move", "Plan", "PlanOptions", "Preemption", "Start", "Wait", "plan"]


def plan(
    queue: Collection[QueuedJob] | JobQueue,
    running: Collection[RunningJob],
    table: NodeTable,
    options: PlanOptions,
    now_s: float,
    memory: RoundMemory | None = None,
) -> Plan:
    """Decide what starts, stops, moves and waits now.

    running: jobs whose tasks hold their places on `table`; jobs that are being stopped belong here, too.
    memory: kept by the caller from round to round over the same table, to skip what cannot fit; optional.
    """
    mark = table.begin_trial()
    try:
        return _Round(queue, running, table, options, now_s, memory).decide()
    finally:
        table.roll_back(mark)


class _Round:
    """The work of one call."""

    def __init__(
        self,
        queue: Collection[QueuedJob] | JobQueue,
        running: Collection[RunningJob],
        table: NodeTable,
        options: PlanOptions,
        now_s: float,
        memory: RoundMemory | None,
    ) -> None:
        self.queue, self.running, self.table = queue, running, table
        self.options, self.now_s = options, now_s
        self.search = GangSearch(table, options.placement, now_s)
        self.book = QuotaBook.of(options.quotas, running, self._keepers())
        self.memory = memory or RoundMemory()
        self.memory.refresh(table)
        self.starts: dict[str, Start] = {}
        self.started: list[RunningJob] = []
        self.preemptions: list[Preemption] = []
        self.waits: dict[str, Wait] = {}
        self.releases: dict[str, str] = {}
        self.head: QueuedJob | None = None
        self.reservation: HeadReservation | None = None
        self.reserved = False
        self.tried_behind = 0
        self.bounds: Bounds | None = None
        self.hopeless_shapes: set[tuple[object, ...]] = set()
        self.refused_beside: dict[tuple[object, ...], GangRefusal] = {}
        self._listed: list[RunningJob] | None = None
        self._promise_book: PromiseBook | None = None
        self._preemptor: Preemptor | None = None

    # --- the round ----------------------------------------------------------------------------------------

    def decide(self) -> Plan:
        """Look at the queue, then at what should move."""
        self._finish_gangs()
        ordered = self._ordered()
        if self.memory.promises and self.options.backfill == "conservative":
            ordered = due_first(ordered, self._named(), self.memory.promises.values(), self.now_s)
        borrowers = self._consider_all(ordered)
        if borrowers:
            self._consider_all(iter(borrowers), borrowing=True)
        moves = self._moves()
        if self._promise_book is not None:
            self.memory.promises = self._promise_book.promises
        self.memory.note(self.table)
        return Plan(
            starts=self.starts,
            preemptions=tuple(self.preemptions),
            moves=moves,
            waits=self.waits,
            releases=self.releases,
            head=self.head.job_id if self.head else "",
        )

    def _moves(self) -> tuple[Move, ...]:
        """What moves; nothing to where a job that waits will start."""
        held: list[str] = []
        if self.options.rebalancing is not None:
            if (reservation := self._head_reservation()) is not None:
                reservation.hold(self.table)
            if self._promise_book is not None:
                held = self._promise_book.hold_all()
        moves = planned_moves(self._running_now(), self.table, self.options, self.now_s)
        release(self.table, held)
        if self.reservation is not None:
            self.reservation.let_go(self.table)
        return moves

    def _ordered(self) -> Iterable[QueuedJob]:
        steady = isinstance(self.queue, JobQueue) and self.queue.steady
        view = ClusterView((), _NOTHING) if steady else self._view()
        if isinstance(self.queue, JobQueue):
            return self.queue.in_order(view, self.now_s)
        return in_order(list(self.queue), self.options.ordering, view, self.now_s)

    def _view(self) -> ClusterView:
        return ClusterView(self._all_running(), total_capacity(self.table))

    def _consider_all(self, jobs: Iterable[QueuedJob], borrowing: bool = False) -> list[QueuedJob]:
        """Try jobs until the round is over; return those that may only borrow."""
        borrowers: list[QueuedJob] = []
        for job in jobs:
            if self._over():
                break
            if job.kept:
                continue  # looked at before
            if self.options.quotas and not self._within_quota(job, borrowing):
                if job.job_id not in self.waits:
                    borrowers.append(job)
                continue
            if self.head is not None:
                self.tried_behind += 1
            self._consider(job)
        return borrowers

    def _over(self) -> bool:
        if self.head is None:
            return False
        if self.options.backfill == "none" or self.tried_behind >= self.options.backfill_depth:
            return True
        if self.options.explain or not isinstance(self.queue, JobQueue) or self.options.quotas:
            return False
        if self._promise_book is not None and self._may_promise(self._promise_book):
            return False
        return len(self.hopeless_shapes) >= len(self.queue.shapes)

    def _within_quota(self, job: QueuedJob, borrowing: bool) -> bool:
        """Whether the job may be tried now; a job that must never be notes why it waits."""
        resource, excess = self.book.forbidden(job)
        if resource:
            self.waits[job.job_id] = over_quota(job, resource, excess)
            return False
        return borrowing or not self.book.over(job)[0]

    def _finish_gangs(self) -> None:
        """Gangs whose survivors hold places come first: others wait for what they hold.

        Where no rest is found and the time for it is over, the last of them gives way, and the others are
        tried again.
        """
        waiting = [job for job in self._ordered() if job.kept] if self._keepers() else []
        while waiting:
            refused: dict[str, GangRefusal] = {}
            for job in waiting:
                found = self.search.reserve(job, self.options.slow_nodes(job))
                if isinstance(found, GangRefusal):
                    refused[job.job_id] = found
                else:
                    self._start(job, found)
            waiting = [job for job in waiting if job.job_id in refused]
            expired = [job for job in waiting if self.now_s >= job.kept_until_s]
            for job in waiting:
                self._wait(job, refused[job.job_id])
            if not expired:
                return
            last = expired[-1]
            release(self.table, last.kept)
            self.book.charge(last, -1)
            self.memory.forget()
            self.releases[last.job_id] = f"no place for the rest: {refused[last.job_id].refusal.sentence}"
            waiting.remove(last)

    def _keepers(self) -> Sequence[QueuedJob]:
        """Gangs whose survivors hold places."""
        if isinstance(self.queue, JobQueue):
            return [*self.queue.holding.values()]
        return [job for job in self.queue if job.kept]

    # --- one job ------------------------------------------------------------------------------------------

    def _consider(self, job: QueuedJob) -> None:
        refusal = self._known_refusal(job)
        if refusal is None and self.head is not None:
            self.bounds = self.bounds or Bounds.of(self.table)
            refusal = self.bounds.refusal(job)
        if refusal is None:
            found = self._places(job)
            if not isinstance(found, GangRefusal):
                self._start(job, found)
                return
            refusal = found
            self._remember(job, refusal)
        self._refused(job, refusal)

    def _known_refusal(self, job: QueuedJob) -> GangRefusal | None:
        known = self.memory.refusals.get(job.shape)
        if known is None and job.shape in self.refused_beside:
            held = self._head_reservation()
            if held is not None and not held.ends_before(self._late_s(job), self.now_s):
                known = self.refused_beside[job.shape]
        return known

    def _remember(self, job: QueuedJob, refusal: GangRefusal) -> None:
        if any(claim.affinity_keys for claim in job.claims):
            return  # may fit once somebody else has started
        if refusal.plain:
            self.memory.refusals[job.shape] = refusal
        else:
            self.refused_beside[job.shape] = refusal

    def _places(self, job: QueuedJob) -> Mapping[str, Placement] | GangRefusal:
        """Places that do not delay the head, reserved; or why there are none."""
        slow = self.options.slow_nodes(job)
        if self.options.backfill == "conservative":
            return self._book_of_promises().start(job, slow, self._late_s(job))
        held = self._head_reservation()
        if held is None:
            return self.search.reserve(job, slow)
        return held.fit_beside(job, self.search, slow, self._late_s(job))

    def _head_reservation(self) -> HeadReservation | None:
        """The head's, made when it is first needed: with nothing free nobody asks for it."""
        if self.head is not None and self.reservation is None and self.options.backfill == "easy":
            if not self.reserved:
                self.reservation = reserve_head(
                    self.head,
                    [*self._running_now(), *self.started, *self._keeping_now()],
                    self.search,
                    self._ends_s,
                )
            self.reserved = True
        return self.reservation

    def _named(self) -> Mapping[str, QueuedJob]:
        return (
            self.queue.jobs if isinstance(self.queue, JobQueue) else {job.job_id: job for job in self.queue}
        )

    def _book_of_promises(self) -> PromiseBook:
        if self._promise_book is None:
            now = (*self._running_now(), *self.started, *self._keeping_now())
            valid = still_valid(self.memory.promises.values(), self._named(), self.now_s)
            self._promise_book = PromiseBook(self.search, [(self._ends_s(each), each) for each in now], valid)
        return self._promise_book

    def _may_promise(self, book: PromiseBook) -> bool:
        return len(book.promises) < self.options.promised_jobs

    def _promised_s(self, job: QueuedJob) -> float | None:
        """The time that a job which cannot start is promised, if it is among those that are promised one."""
        if self.options.backfill != "conservative":
            return None
        book = self._book_of_promises()
        if job.job_id not in book.promises and not self._may_promise(book):
            return None
        made = book.promise(job, self._late_s(job))
        return made.start_s if made is not None else None

    def _late_s(self, job: QueuedJob) -> float:
        late_s = job.expected_late_s if job.expected_late_s is not None else job.expected_time_s
        return self.options.unknown_s if late_s is None else late_s

    def _start(self, job: QueuedJob, places: Mapping[str, Placement], after: tuple[str, ...] = ()) -> None:
        if not job.kept:
            self.book.charge(job)
        self.started.append(RunningJob(job=job, placements=places, started_s=self.now_s))
        self.starts[job.job_id] = Start(
            job_id=job.job_id,
            placements=places,
            attempt=job.attempt,
            after=after,
            backfilled=self.head is not None,
        )

    def _refused(self, job: QueuedJob, refusal: GangRefusal) -> None:
        if self.options.backfill == "conservative" and self._is_never(job):
            return
        if self.head is None:
            self._become_head(job, refusal)
        elif self.options.backfill != "greedy" or not self._preempt_for(job):
            self._wait(job, refusal, behind=self.head.job_id, feasible_s=self._promised_s(job))
            self._note_hopeless(job, refusal)

    def _note_hopeless(self, job: QueuedJob, refusal: GangRefusal) -> None:
        """Remember shapes of which no later job can start in this round."""
        may_preempt = self.options.backfill == "greedy"
        if refusal.plain and (not may_preempt or (self._preemptor and self._preemptor.hopeless(job.shape))):
            self.hopeless_shapes.add(job.shape)

    def _is_never(self, job: QueuedJob) -> bool:
        """Whether it is larger than the cluster, and was told so."""
        resource, missing = self.memory.lack_of_empty(job, self.table)
        if resource:
            self.waits[job.job_id] = never_fits(job, resource, missing, self.table)
        return bool(resource)

    def _become_head(self, job: QueuedJob, refusal: GangRefusal) -> None:
        if self._is_never(job) or self._preempt_for(job):
            return
        self.head = job
        self._note_hopeless(job, refusal)
        promised_s = self._promised_s(job)
        if self.options.explain:
            held = self._head_reservation()
            self._wait(job, refusal, feasible_s=held.at_s if held else promised_s)

    def _wait(
        self, job: QueuedJob, refusal: GangRefusal, behind: str = "", feasible_s: float | None = None
    ) -> None:
        if self.options.explain:
            self.waits[job.job_id] = too_little(job, refusal, self.table, behind, feasible_s)

    def _preempt_for(self, job: QueuedJob) -> bool:
        if self._preemptor is None:
            self._preemptor = Preemptor(self._all_running(), self.options, self.book, self.now_s)
        found = self._preemptor.make_room(job, self.search)
        if found is None:
            return False
        places, victims = found
        for victim in victims:
            self.book.charge(victim.job, -1)
            self.preemptions.append(
                Preemption(
                    job_id=victim.job_id,
                    for_job_id=job.job_id,
                    reason=self._preemptor.reason(job, victim),
                    cost_s=lost_s(victim, self.now_s),
                )
            )
        if self._promise_book is not None:
            self._promise_book.left([victim.job_id for victim in victims])
            self._promise_book.began(job, self.now_s + self._late_s(job))
        self.memory.forget()  # what the victims left may fit others
        self.bounds = None
        self.hopeless_shapes.clear()
        self._start(job, places, after=tuple(victim.job_id for victim in victims))
        return True

    # --- what runs ----------------------------------------------------------------------------------------

    def _ends_s(self, each: RunningJob) -> float:
        """When a job is expected to give back what it holds, be it places that it only keeps."""
        if each.job.kept and each.job_id not in self.starts:
            return each.job.kept_until_s
        return self.now_s + each.remaining_s(self.now_s, self.options.unknown_s)

    def _keeping_now(self) -> list[RunningJob]:
        """Gangs that found no rest in this round, as if they ran on the places that they keep."""
        return [
            RunningJob(job=job, placements=job.kept, started_s=self.now_s)
            for job in self._keepers()
            if job.job_id not in self.starts and job.job_id not in self.releases
        ]

    def _all_running(self) -> Sequence[RunningJob]:
        if self._listed is None:
            self._listed = list(self.running)
        return self._listed

    def _running_now(self) -> Sequence[RunningJob]:
        """What runs and is not asked to leave in this round."""
        taken = self._preemptor.taken if self._preemptor else set()
        return [each for each in self._all_running() if each.job_id not in taken]
