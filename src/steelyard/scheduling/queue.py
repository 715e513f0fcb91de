"""The waiting jobs, kept in the order of a policy.

A policy whose keys do not change while a job waits gets a sorted list, so that a round looks at the first
jobs and sorts only when the policy has learned something; any other policy ranks the queue each round. Gangs
whose survivors hold places stand before all others, in the policy's order: they hold what others wait for, so
they end first or give it back (volcano#5805 shows what happens else).
Cost: adding and removing is a binary search and a shift in memory.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence

from steelyard.model.job import QueuedJob
from steelyard.model.ordering_policy import ClusterView, Key, OrderingPolicy, SteadyOrdering


class JobQueue:
    """Jobs by name, in the order in which they should start."""

    def __init__(self, ordering: OrderingPolicy, jobs: Iterable[QueuedJob] = ()) -> None:
        self.ordering = ordering
        self.jobs: dict[str, QueuedJob] = {}
        steady = ordering if isinstance(ordering, SteadyOrdering) else None
        self._steady = steady if steady is not None and steady.epoch is not None else None
        self._epoch = steady.epoch if steady is not None else None
        self.shapes: dict[tuple[object, ...], int] = {}
        self._sorted: list[tuple[Key, str]] = []
        self._keys: dict[str, Key] = {}
        self.holding: dict[str, QueuedJob] = {}
        for job in jobs:
            self.add(job)

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[QueuedJob]:
        return iter(self.jobs.values())

    def __contains__(self, job_id: object) -> bool:
        return job_id in self.jobs

    @property
    def steady(self) -> bool:
        """Whether the order depends on nothing but the waiting jobs themselves."""
        return self._steady is not None

    def add(self, job: QueuedJob) -> None:
        """Take in a job, or take over a change of it."""
        if job.job_id in self.jobs:
            self.remove(job.job_id)
        self.jobs[job.job_id] = job
        self.shapes[job.shape] = self.shapes.get(job.shape, 0) + 1
        if job.kept:
            self.holding[job.job_id] = job
        if self._steady is not None:
            key = self._steady.steady_key(job)
            self._keys[job.job_id] = key
            insort(self._sorted, (key, job.job_id))

    def remove(self, job_id: str) -> QueuedJob:
        """Take out a job. Raises KeyError when it is not there."""
        job = self.jobs.pop(job_id)
        self.shapes[job.shape] -= 1
        if not self.shapes[job.shape]:
            del self.shapes[job.shape]
        self.holding.pop(job_id, None)
        if self._steady is not None:
            entry = (self._keys.pop(job_id), job_id)
            del self._sorted[bisect_left(self._sorted, entry)]
        return job

    def in_order(self, view: ClusterView, now_s: float) -> Iterator[QueuedJob]:
        """Every job once, best first."""
        if self._steady is None:
            yield from in_order(list(self.jobs.values()), self.ordering, view, now_s)
            return
        if self._steady.epoch != self._epoch:
            self._sort_again(self._steady)
        if self.holding:
            yield from self.ordering.ranked(list(self.holding.values()), view, now_s)
        for _, job_id in self._sorted:
            if job_id not in self.holding:
                yield self.jobs[job_id]

    def _sort_again(self, steady: SteadyOrdering) -> None:
        self._epoch = steady.epoch
        self._keys = {job_id: steady.steady_key(job) for job_id, job in self.jobs.items()}
        self._sorted = sorted((key, job_id) for job_id, key in self._keys.items())


def in_order(
    queue: Sequence[QueuedJob], ordering: OrderingPolicy, view: ClusterView, now_s: float
) -> list[QueuedJob]:
    """A queue that is no `JobQueue`, ranked: gangs that hold places first."""
    ranked = ordering.ranked(queue, view, now_s)
    if not any(job.kept for job in ranked):
        return ranked
    return sorted(ranked, key=lambda job: not job.kept)  # stable
