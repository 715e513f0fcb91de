"""Highest priority first, with ageing: a level of priority is worth some time of waiting.

A job of one level less goes first once it has waited `ageing_s` longer. Both age at the same speed, so the
order of two waiting jobs never changes, and the queue can be kept sorted by one number:
submitted_s − priority × ageing_s. Source: the age and priority factors of Slurm's multifactor plugin, made
linear. A running job keeps the age that it had when it started: it is preempted for more priority, never for
more age. Ties go by time of submission, then name. Cost: one comparison a job.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.model.errors import ConfigError
from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import ClusterView, Key


@dataclass(slots=True)
class Priority:
    """By priority, and age.

    ageing_s: waiting that is worth one level of priority; `math.inf` for strict priorities, which may starve.
    """

    ageing_s: float = 3600.0
    preemptive: bool = True

    def __post_init__(self) -> None:
        if not self.ageing_s > 0:
            raise ConfigError(f"ageing_s is {self.ageing_s}: it must be above 0 (3600 is the default)")

    @property
    def epoch(self) -> int | None:
        """Keys of waiting jobs never change."""
        return 0

    def steady_key(self, job: QueuedJob) -> Key:
        """Virtual time of submission, then the real one, then name."""
        if self.ageing_s == float("inf"):
            return (-job.priority, job.submitted_s, job.job_id)
        return (job.submitted_s - job.priority * self.ageing_s, job.submitted_s, job.job_id)

    def queued_key(self, job: QueuedJob, now_s: float) -> Key:
        """By priority alone: what decides over preemption."""
        return (-job.priority,)

    def running_key(self, running: RunningJob, now_s: float) -> Key:
        """By priority alone."""
        return (-running.job.priority,)

    def ranked(self, queue: Sequence[QueuedJob], view: ClusterView, now_s: float) -> list[QueuedJob]:
        """Most urgent first."""
        return sorted(queue, key=self.steady_key)
