"""A cluster's queue in virtual time: the planner and its policies, driven by a trace.

Events are arrivals, ends and, for policies that preempt, ticks. At each time with events the same `plan` as
in the live controller decides, and its starts and stops take place at once: a start after a stop takes
`restart_s` before work goes on, a stop takes `checkpoint_s` of the work done. Durations do not depend on
where a job runs. Equal times: ends before arrivals, then by name; so a run repeats exactly.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from steelyard.cluster.node_table import NodeTable
from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import AccountingOrdering, LearningOrdering
from steelyard.model.placement_policy import Claim, Placement
from steelyard.model.resources import Resources
from steelyard.scheduling.gangs import release
from steelyard.scheduling.memory import RoundMemory
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.planner import plan
from steelyard.scheduling.queue import JobQueue
from steelyard.simulation.foresight import Foresight
from steelyard.traces.job import TraceJob

_END, _ARRIVAL, _TICK = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCosts:
    """What stopping and starting again takes, and how often running jobs are compared with waiting ones."""

    checkpoint_s: float = 0.0
    restart_s: float = 0.0
    tick_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """How one job fared. waited_s: all the time that it did not hold its places."""

    job: TraceJob
    first_start_s: float
    finished_s: float
    waited_s: float
    stops: int

    @property
    def completion_s(self) -> float:
        """From submission to end."""
        return self.finished_s - self.job.submitted_s

    @property
    def in_time(self) -> bool:
        """Whether it met its deadline, if it has one."""
        return self.job.deadline_s is None or self.finished_s <= self.job.deadline_s


@dataclass(slots=True)
class _Progress:
    job: TraceJob
    queued_since_s: float
    done_s: float = 0.0
    waited_s: float = 0.0
    stops: int = 0
    first_start_s: float = -1.0


@dataclass(slots=True)
class QueueRun:
    """One cluster, one set of policies.

    gpus_per_node: how a wide job is cut into tasks; 0 gives every job one task.
    on_start: told of each start (job, time), for those who watch.
    """

    table: NodeTable
    options: PlanOptions
    foresight: Foresight
    costs: RunCosts = field(default_factory=RunCosts)
    gpus_per_node: int = 8
    on_start: Callable[[str, float], None] | None = None
    never: list[TraceJob] = field(default_factory=list)
    rounds: int = 0
    now_s: float = 0.0
    _queue: JobQueue = field(init=False)
    _running: dict[str, RunningJob] = field(default_factory=dict)
    _progress: dict[str, _Progress] = field(default_factory=dict)
    _events: list[tuple[float, int, str, int]] = field(default_factory=list)
    _memory: RoundMemory = field(default_factory=RoundMemory)
    _outcomes: list[JobOutcome] = field(default_factory=list)
    _ticking: bool = False

    def __post_init__(self) -> None:
        self._queue = JobQueue(self.options.ordering)

    def run(self, jobs: Sequence[TraceJob]) -> list[JobOutcome]:
        """Simulate until every job has ended; those that can never start are in `never`."""
        by_id = {job.job_id: job for job in jobs}
        self._events = [(job.submitted_s, _ARRIVAL, job.job_id, 0) for job in jobs]
        heapq.heapify(self._events)
        while self._events:
            self.now_s = self._events[0][0]
            changed = False
            while self._events and self._events[0][0] <= self.now_s:
                _, kind, job_id, attempt = heapq.heappop(self._events)
                changed |= self._happens(kind, job_id, attempt, by_id)
            if changed and self._queue:
                self._round()
            self._tick_later()
        self.never = [self._progress[job_id].job for job_id in sorted(self._queue.jobs)]
        return self._outcomes

    # --- events -------------------------------------------------------------------------------------------

    def _happens(self, kind: int, job_id: str, attempt: int, by_id: Mapping[str, TraceJob]) -> bool:
        """Take in one event; return whether a round is due."""
        if kind == _ARRIVAL:
            job = by_id[job_id]
            self._progress[job_id] = _Progress(job, self.now_s)
            self._queue.add(self._queued(self._progress[job_id]))
            return True
        if kind == _TICK:
            self._ticking = False
            return True
        running = self._running.get(job_id)
        if running is None or running.job.attempt != attempt:
            return False  # it was stopped before
        self._end(running)
        return True

    def _end(self, running: RunningJob) -> None:
        progress = self._progress.pop(running.job_id)
        self._leave(running)
        self.foresight.observe_end(progress.job, self.now_s)
        if isinstance(self.options.ordering, LearningOrdering):
            self.options.ordering.observe_end(running.job, progress.job.duration_s, self.now_s)
        self._outcomes.append(
            JobOutcome(
                job=progress.job,
                first_start_s=progress.first_start_s,
                finished_s=self.now_s,
                waited_s=progress.waited_s,
                stops=progress.stops,
            )
        )

    def _leave(self, running: RunningJob) -> None:
        del self._running[running.job_id]
        release(self.table, running.placements)
        if isinstance(self.options.ordering, AccountingOrdering):
            self.options.ordering.observe_use(running.job, self.now_s - running.started_s, self.now_s)

    def _tick_later(self) -> None:
        if self.options.ordering.preemptive and self._queue and self._running and not self._ticking:
            self._ticking = True
            heapq.heappush(self._events, (self.now_s + self.costs.tick_s, _TICK, "", 0))

    # --- a round ------------------------------------------------------------------------------------------

    def _round(self) -> None:
        self.rounds += 1
        decided = plan(
            self._queue, self._running.values(), self.table, self.options, self.now_s, self._memory
        )
        for each in decided.preemptions:
            self._stop(self._running[each.job_id])
        for job_id, start in decided.starts.items():
            self._start(self._queue.remove(job_id), start.placements)

    def _start(self, job: QueuedJob, places: Mapping[str, Placement]) -> None:
        progress = self._progress[job.job_id]
        for claim in job.claims:
            self.table.reserve(places[claim.task_id], claim)
        delay_s = self.costs.restart_s if progress.stops else 0.0
        progress.waited_s += self.now_s - progress.queued_since_s
        if progress.first_start_s < 0:
            progress.first_start_s = self.now_s
        works_from_s = self.now_s + delay_s
        self._running[job.job_id] = RunningJob(
            job=job,
            placements=places,
            started_s=works_from_s,
            last_checkpoint_s=works_from_s,
            moves=progress.stops,
        )
        end_s = works_from_s + progress.job.duration_s - progress.done_s
        heapq.heappush(self._events, (end_s, _END, job.job_id, job.attempt))
        if self.on_start is not None:
            self.on_start(job.job_id, self.now_s)

    def _stop(self, running: RunningJob) -> None:
        """Preempted: back to the queue with what its checkpoint keeps."""
        self._leave(running)
        progress = self._progress[running.job_id]
        ran_s = max(0.0, self.now_s - running.started_s - self.costs.checkpoint_s)
        progress.done_s = min(progress.done_s + ran_s, progress.job.duration_s)
        progress.stops += 1
        progress.queued_since_s = self.now_s
        self._queue.add(self._queued(progress))

    def _queued(self, progress: _Progress) -> QueuedJob:
        job = progress.job
        expected_s, late_s = self.foresight.left_s(job, progress.done_s, self.now_s)
        queued = QueuedJob(
            job_id=job.job_id,
            claims=claims_of(job, self.gpus_per_node),
            name=job.name,
            user=job.user,
            tenant=job.tenant,
            priority=job.priority,
            submitted_s=job.submitted_s,
            deadline_s=job.deadline_s,
            expected_time_s=expected_s,
            expected_late_s=late_s,
            checkpoint_cost_s=max(self.costs.checkpoint_s, 1e-6),
            restart_cost_s=self.costs.restart_s,
            attempt=progress.stops,
        )
        return replace(queued, attained_gpu_s=progress.done_s * queued.width) if progress.done_s else queued


def claims_of(job: TraceJob, gpus_per_node: int) -> tuple[Claim, ...]:
    """A job's tasks: as few as hold its GPUs, all but the last one with a whole node's."""
    if not gpus_per_node or job.gpus <= gpus_per_node:
        demand = Resources(cpu_cores=job.cpu_cores, gpus=job.gpus)
        return (Claim(task_id=f"{job.job_id}/0", job_id=job.job_id, demand=demand),)
    whole, rest = divmod(job.gpus, gpus_per_node)
    sizes = [gpus_per_node] * whole + ([rest] if rest else [])
    cores = job.cpu_cores / job.gpus
    return tuple(
        Claim(
            task_id=f"{job.job_id}/{rank}",
            job_id=job.job_id,
            demand=Resources(cpu_cores=cores * gpus, gpus=gpus),
        )
        for rank, gpus in enumerate(sizes)
    )
