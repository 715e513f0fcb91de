"""Shortest expected time left by what was learned, running jobs included: SRTF without an oracle.

The time left of a job that has run for a is the mean of what jobs of its kind that ran as long took beyond a
(`policies.history`), times its GPUs. With heavy tails it grows as the job runs on, so the policy acts like
least attained service; where a kind of job always takes about as long, it falls, and the job is left in
peace. What is learned later reorders jobs that wait already, unlike `shortest`, which ranks by the
expectation that a job was submitted with. Source: SERPT (shortest expected remaining processing time), by
service as in QSSF of Helios (SC 2021). Keys are levels, `levels_a_doubling` for each doubling, so that
equals do not preempt each other; ties go by time of submission, then name. Cost: a table of means a group,
made anew when the group has grown by a tenth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import ClusterView, Key
from steelyard.policies.history import BOUNDS_S, DurationHistory, Durations, bucket_span_s
from steelyard.policies.learned_costs import LearnedCosts


@dataclass(slots=True)
class LearnedRemaining:
    """By expected time left.

    by_service: multiply by GPUs. levels_a_doubling: how finely times are told apart.
    """

    history: DurationHistory = field(default_factory=DurationHistory)
    by_service: bool = True
    levels_a_doubling: float = 0.5
    preemptive: bool = True
    _costs: LearnedCosts = field(init=False)

    def __post_init__(self) -> None:
        self._costs = LearnedCosts(self.history, means_left_s)

    def observe_end(self, job: QueuedJob, ran_s: float, now_s: float) -> None:
        """A job ended well after `ran_s` seconds of work in all."""
        self._costs.observe_end(job, ran_s, now_s)

    @property
    def epoch(self) -> int | None:
        """Grows when what was learned has changed some key."""
        return self._costs.epoch

    def steady_key(self, job: QueuedJob) -> Key:
        """Level of the time left, then time of submission, then name."""
        return (self._level(job, job.attained_gpu_s / job.width), job.submitted_s, job.job_id)

    def queued_key(self, job: QueuedJob, now_s: float) -> Key:
        """Level of the time left."""
        return (self._level(job, job.attained_gpu_s / job.width),)

    def running_key(self, running: RunningJob, now_s: float) -> Key:
        """Level of the time left by now."""
        return (self._level(running.job, running.attained_gpu_s(now_s) / running.job.width),)

    def ranked(self, queue: Sequence[QueuedJob], view: ClusterView, now_s: float) -> list[QueuedJob]:
        """Shortest first."""
        return sorted(queue, key=self.steady_key)

    def _level(self, job: QueuedJob, ran_s: float) -> int:
        cost_s = self._costs.cost_s(job, ran_s) * (job.width if self.by_service else 1.0)
        return math.floor(self.levels_a_doubling * math.log2(max(cost_s, 1e-3)))


def means_left_s(group: Durations) -> list[float]:
    """Mean time left, by the bucket of time run; as long again where nobody ran as long."""
    means: list[float] = []
    for bucket in range(len(BOUNDS_S)):
        low_s, _ = bucket_span_s(bucket)
        mean_s, weight = group.left_s(low_s)
        means.append(mean_s if weight > 0 else low_s)
    return means
