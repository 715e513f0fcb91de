"""An order by what a job is expected to cost still, as learned from jobs like it that ended; in levels.

What the cost is a policy says, as a table for each group of like jobs (`policies.learned_costs`). Keys are
levels, `levels_a_doubling` for each doubling of the cost, so that equals do not preempt each other; ties go
by time of submission, then name. Cost: two look-ups a job.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import ClusterView, Key
from steelyard.policies.history import DurationHistory
from steelyard.policies.learned_costs import Costs, LearnedCosts


@dataclass(slots=True)
class LearnedLevels:
    """By the level of a learned cost, least first.

    costs_of: a group's ends → its cost by the bucket of time run. by_service: times GPUs. levels_a_doubling:
    how finely costs are told apart.
    """

    costs_of: Costs
    history: DurationHistory = field(default_factory=DurationHistory)
    by_service: bool = True
    levels_a_doubling: float = 0.5
    preemptive: bool = True
    _costs: LearnedCosts = field(init=False)

    def __post_init__(self) -> None:
        self._costs = LearnedCosts(self.history, self.costs_of)

    def observe_end(self, job: QueuedJob, ran_s: float, now_s: float) -> None:
        """A job ended well after `ran_s` seconds of work in all."""
        self._costs.observe_end(job, ran_s, now_s)

    @property
    def epoch(self) -> int | None:
        """Grows when what was learned has changed some key."""
        return self._costs.epoch

    def steady_key(self, job: QueuedJob) -> Key:
        """Level of the cost, then time of submission, then name."""
        return (self._level(job, job.attained_gpu_s / job.width), job.submitted_s, job.job_id)

    def queued_key(self, job: QueuedJob, now_s: float) -> Key:
        """Level of the cost."""
        return (self._level(job, job.attained_gpu_s / job.width),)

    def running_key(self, running: RunningJob, now_s: float) -> Key:
        """Level of the cost by now."""
        return (self._level(running.job, running.attained_gpu_s(now_s) / running.job.width),)

    def ranked(self, queue: Sequence[QueuedJob], view: ClusterView, now_s: float) -> list[QueuedJob]:
        """Least cost first."""
        return sorted(queue, key=self.steady_key)

    def _level(self, job: QueuedJob, ran_s: float) -> int:
        cost_s = self._costs.cost_s(job, ran_s) * (job.width if self.by_service else 1.0)
        return math.floor(self.levels_a_doubling * math.log2(max(cost_s, 1e-3)))
