"""Two-dimensional least attained service: who has had the fewest GPU-seconds goes first.

Needs no prediction: most jobs are short, so a job that has had little is likely to end soon. Attained
service (GPUs × time) falls into a few levels, each `base` times as wide as the one before; inside a level it
is first come, first served, so that equal jobs do not preempt each other in turns. Source: Tiresias
(NSDI 2019), discretised 2D-LAS; its guard against starving is `promote`: a job that has waited that many
times as long as it has run goes to the first level. Ties go by time of submission, then name. Cost: one
logarithm a job.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.model.errors import ConfigError
from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import ClusterView, Key


@dataclass(slots=True)
class LeastAttained:
    """By level of attained service.

    first_level_gpu_s: attained service up to which a job is in the first level.
    base: width of a level, as a multiple of the one before.
    promote: waiting, as a multiple of running, after which a job is in the first level again; inf for never.
    by_service: levels over GPU-seconds; else over seconds.
    """

    first_level_gpu_s: float = 240.0
    base: float = 4.0
    promote: float = math.inf
    by_service: bool = True
    preemptive: bool = True

    def __post_init__(self) -> None:
        if self.first_level_gpu_s <= 0 or self.base <= 1:
            raise ConfigError(
                f"levels start at {self.first_level_gpu_s} GPU-seconds and grow {self.base} times: "
                "the start must be above 0 and the growth above 1 (240 and 4 are the defaults)"
            )

    def level(self, attained_gpu_s: float, width: float) -> int:
        """0 for a job that has had little; one more for each `base` times as much."""
        amount = attained_gpu_s if self.by_service else attained_gpu_s / width
        if amount < self.first_level_gpu_s:
            return 0
        return 1 + math.floor(math.log(amount / self.first_level_gpu_s, self.base) + 1e-9)

    @property
    def epoch(self) -> int | None:
        """Keys of waiting jobs never change, but where waiting promotes."""
        return 0 if self.promote == math.inf else None

    def steady_key(self, job: QueuedJob) -> Key:
        """Level, then time of submission, then name: right as long as nobody is promoted."""
        return (self.level(job.attained_gpu_s, job.width), job.submitted_s, job.job_id)

    def queued_key(self, job: QueuedJob, now_s: float) -> Key:
        """The level; a promoted job is in the first."""
        return (0 if self._promoted(job, now_s) else self.level(job.attained_gpu_s, job.width),)

    def running_key(self, running: RunningJob, now_s: float) -> Key:
        """The level that it has reached by now."""
        return (self.level(running.attained_gpu_s(now_s), running.job.width),)

    def ranked(self, queue: Sequence[QueuedJob], view: ClusterView, now_s: float) -> list[QueuedJob]:
        """Least attained first."""
        return sorted(queue, key=lambda job: (*self.queued_key(job, now_s), job.submitted_s, job.job_id))

    def _promoted(self, job: QueuedJob, now_s: float) -> bool:
        if self.promote == math.inf or job.attained_gpu_s <= 0:
            return False
        ran_s = job.attained_gpu_s / job.width
        return now_s - job.submitted_s - ran_s > self.promote * ran_s
