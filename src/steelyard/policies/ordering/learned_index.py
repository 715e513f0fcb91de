"""Gittins' index over learned durations: who is likeliest to end soon for the service it still takes.

For a job that has run for a, the index is the greatest chance of ending within d more seconds, over the
expected seconds spent on that: max over d of P(S − a ≤ d | S > a) / E[min(S − a, d) | S > a], divided by the
job's GPUs. S comes from the ends seen so far of jobs like it (`policies.history`), nothing else: the index
of a job falls as it outlives the short ones of its kind, so a wrong guess costs little, since the running job
is preempted. With that the mean completion time is near the least possible when durations are only known in
distribution. Source: Gittins (1979); 2D-Gittins of Tiresias (NSDI 2019), here with the history online and per
kind of job. Keys are levels of the index, `levels_a_doubling` for each doubling, so that equals do not
preempt each other; ties go by time of submission, then name. Cost: a table of indices a group, made anew when
the group has grown by a tenth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import ClusterView, Key
from steelyard.policies.history import (
    BOUNDS_S,
    DurationHistory,
    Durations,
    GroupKey,
    bucket_of,
    bucket_span_s,
    keys,
)


@dataclass(slots=True)
class LearnedIndex:
    """By index, best first.

    by_service: divide by GPUs. levels_a_doubling: how finely the index is told apart.
    """

    history: DurationHistory = field(default_factory=DurationHistory)
    by_service: bool = True
    levels_a_doubling: float = 1.0
    preemptive: bool = True
    _tables: dict[GroupKey, tuple[int, list[float]]] = field(default_factory=dict)
    _epoch: int = 0

    def observe_end(self, job: QueuedJob, ran_s: float, now_s: float) -> None:
        """A job ended well after `ran_s` seconds of work in all."""
        self.history.observe(job.user, job.name, job.gpus, ran_s, now_s)
        for _, key in keys(job.user, job.name, job.gpus):
            group = self.history.groups[key]
            made = self._tables.get(key)
            if group.version == self.history.min_samples or (made and group.version >= 1.1 * made[0]):
                self._tables[key] = (group.version, index_costs_s(group))
                self._epoch += 1

    @property
    def epoch(self) -> int | None:
        """Grows when what was learned has changed some key."""
        return self._epoch

    def steady_key(self, job: QueuedJob) -> Key:
        """Level of the index, then time of submission, then name."""
        return (self._level(job, job.attained_gpu_s / job.width), job.submitted_s, job.job_id)

    def queued_key(self, job: QueuedJob, now_s: float) -> Key:
        """Level of the index: smaller is better."""
        return (self._level(job, job.attained_gpu_s / job.width),)

    def running_key(self, running: RunningJob, now_s: float) -> Key:
        """Level of the index by now."""
        return (self._level(running.job, running.attained_gpu_s(now_s) / running.job.width),)

    def ranked(self, queue: Sequence[QueuedJob], view: ClusterView, now_s: float) -> list[QueuedJob]:
        """Best index first."""
        return sorted(queue, key=self.steady_key)

    def _level(self, job: QueuedJob, ran_s: float) -> int:
        found = self.history.group_of(job.user, job.name, job.gpus)
        cost_s = self._table(*found)[bucket_of(ran_s)] if found else self.history.unknown_s + ran_s
        if self.by_service:
            cost_s *= job.width
        return math.floor(self.levels_a_doubling * math.log2(max(cost_s, 1e-3)))

    def _table(self, key: GroupKey, group: Durations) -> list[float]:
        """Seconds for each chance of an end (1 / index), by bucket of time run."""
        if key not in self._tables:
            self._tables[key] = (group.version, index_costs_s(group))
        return self._tables[key][1]


def index_costs_s(group: Durations) -> list[float]:
    """1 / index for a job of this group, by the bucket that it has reached.

    Where a job outlives all that ended before, the hazard is taken to fall on: twice as long, half as likely.
    """
    # A trace of weight everywhere keeps the tail defined; it fades as real ends come.
    counts = [count + 1e-3 * group.samples / len(BOUNDS_S) for count in group.counts]
    return [_cost_s(counts, first) for first in range(len(BOUNDS_S))]


def _cost_s(counts: Sequence[float], first: int) -> float:
    alive = sum(counts[first:])
    ended, spent_s, best = 0.0, 0.0, 0.0
    for bucket in range(first, len(counts)):
        low_s, high_s = bucket_span_s(bucket)
        ending = counts[bucket]
        spent_s += (alive - ending / 2) * (high_s - low_s)
        ended += ending
        alive -= ending
        best = max(best, ended / spent_s)
    return 1.0 / best
