"""Whose places a waiting job may take.

A victim must be preemptible, must have run for a while, and must stand strictly behind the waiting job: by
the ordering, or because its tenant borrows what the waiting job's tenant is promised. Worst first, as few as
needed, and only if the whole gang fits afterwards: nobody is stopped for a job that then finds no node
(kueue#5243). Ties go to the one with less to lose, then the one that started last, then by name.
Cost: one sort of the candidates a round, log2(candidates) trials a job, one look at each victim.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steelyard.cluster.node_table import NodeTable
from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import Key
from steelyard.model.placement_policy import Placement
from steelyard.scheduling.gangs import GangRefusal, GangSearch, release
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.quotas import QuotaBook


@dataclass(slots=True)
class Preemptor:
    """Finds victims for one round; remembers whom it has taken already."""

    running: Sequence[RunningJob]
    options: PlanOptions
    book: QuotaBook
    now_s: float
    taken: set[str] = field(default_factory=set)
    exhausted: bool = False
    _stopping: list[RunningJob] | None = None
    _hopeless: dict[tuple[object, ...], Key] = field(default_factory=dict)
    _ranked: list[tuple[Key, RunningJob]] | None = None

    def make_room(
        self, job: QueuedJob, search: GangSearch
    ) -> tuple[Mapping[str, Placement], list[RunningJob]] | None:
        """Places for the job, reserved, and who must leave for it, released; None if nobody may be asked."""
        room = self.options.max_preemptions - len(self.taken)
        if self.exhausted or not self._may_preempt or room <= 0:
            self.exhausted = True
            return None
        key = self.options.ordering.queued_key(job, self.now_s)
        if job.shape in self._hopeless and self._hopeless[job.shape] <= key:
            return None
        if self._stopping is None:
            self._stopping = [each for each in self.running if each.stopping]
        if self._stopping and _fits(job, self._stopping, search):
            return None  # they make room already
        candidates = self._candidates(job, key)
        if not candidates and not self.book.quotas:
            self.exhausted = True  # jobs come in order: nobody later stands before more of them
        found = _least(job, candidates, search, room) if candidates else None
        if found is None:
            self._hopeless[job.shape] = key
            return None
        places, victims = found
        self.taken.update(victim.job_id for victim in victims)
        return places, victims

    def reason(self, job: QueuedJob, victim: RunningJob) -> str:
        """Why this one."""
        if self._may_order and self._behind(victim, self.options.ordering.queued_key(job, self.now_s)):
            return "it stands behind by the ordering"
        return f"tenant {victim.job.tenant!r} borrows what tenant {job.tenant!r} is promised"

    def hopeless(self, shape: tuple[object, ...]) -> bool:
        """Whether no later job of this shape can be made room for."""
        return self.exhausted or shape in self._hopeless

    @property
    def _may_preempt(self) -> bool:
        return self._may_order or (self.options.preemption != "never" and bool(self.book.quotas))

    @property
    def _may_order(self) -> bool:
        return self.options.preemption == "ordering" and self.options.ordering.preemptive

    def _behind(self, victim: RunningJob, key: Key) -> bool:
        return self.options.ordering.running_key(victim, self.now_s) > key

    def _candidates(self, job: QueuedJob, key: Key) -> list[RunningJob]:
        """Worst first."""
        reclaims = job.tenant in self.book.quotas and not self.book.over(job)[0]
        if not (self._may_order or reclaims):
            return []
        if self._ranked is None:
            self._ranked = self._rank()
        return [
            each
            for running_key, each in self._ranked
            if each.job_id not in self.taken
            and (
                (self._may_order and running_key > key)
                or (reclaims and each.job.tenant != job.tenant and self.book.borrows(each.job))
            )
        ]

    def _rank(self) -> list[tuple[Key, RunningJob]]:
        running_key, now_s = self.options.ordering.running_key, self.now_s
        ranked = [
            (running_key(each, now_s), each)
            for each in self.running
            if each.job.preemptible and not each.stopping and now_s - each.started_s >= self.options.min_run_s
        ]
        ranked.sort(key=lambda pair: (lost_s(pair[1], now_s), -pair[1].started_s, pair[1].job_id))
        ranked.sort(key=lambda pair: pair[0], reverse=True)  # stable: equal keys stay in that order
        return ranked


def lost_s(victim: RunningJob, now_s: float) -> float:
    """Time that a stop costs the job: a checkpoint, a new start, and what the checkpoint does not keep."""
    since_s = victim.started_s if victim.last_checkpoint_s is None else victim.last_checkpoint_s
    # A job that cannot say what a checkpoint costs is taken to have none: all since the last one is lost.
    unsaved_s = 0.0 if victim.job.checkpoint_cost_s > 0 else max(0.0, now_s - since_s)
    return victim.job.checkpoint_cost_s + victim.job.restart_cost_s + unsaved_s


def _least(
    job: QueuedJob, candidates: Sequence[RunningJob], search: GangSearch, room: int
) -> tuple[Mapping[str, Placement], list[RunningJob]] | None:
    """The shortest prefix of the candidates whose leaving makes room, less those that may stay."""
    low, high = 1, min(len(candidates), 4)
    while not _fits(job, candidates[:high], search):  # most jobs need few: double rather than halve
        if high == len(candidates):
            return None
        low, high = high + 1, min(len(candidates), 2 * high)
    while low < high:
        middle = (low + high) // 2
        if _fits(job, candidates[:middle], search):
            high = middle
        else:
            low = middle + 1
    table = search.table
    mark = table.begin_trial()
    for each in candidates[:high]:
        release(table, each.placements)
    places = search.reserve(job)
    if isinstance(places, GangRefusal):
        table.roll_back(mark)
        return None
    victims = [each for each in candidates[:high] if not _stays(each, table)]
    if len(victims) > room:
        table.roll_back(mark)
        return None
    table.accept()
    return places, victims


def _fits(job: QueuedJob, leaving: Sequence[RunningJob], search: GangSearch) -> bool:
    mark = search.table.begin_trial()
    for each in leaving:
        release(search.table, each.placements)
    fits = not isinstance(search.reserve(job), GangRefusal)
    search.table.roll_back(mark)
    return fits


def _stays(each: RunningJob, table: NodeTable) -> bool:
    """Take a candidate back onto its places if they are still free after the waiting job was placed."""
    claims = {claim.task_id: claim for claim in each.job.claims}
    mark = table.begin_trial()
    try:
        for task_id, place in each.placements.items():
            table.reserve(place, claims[task_id])
    except ValueError:
        table.roll_back(mark)
        return False
    table.accept()
    return True
