"""First in, first out: the baseline that everybody understands.

Source: every batch system's default. Ties in time go by name. Cost: one comparison a job; keys never change
while a job waits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import ClusterView, Key


@dataclass(slots=True)
class Fifo:
    """By the time of submission."""

    preemptive: bool = False

    @property
    def epoch(self) -> int | None:
        """Keys of waiting jobs never change."""
        return 0

    def steady_key(self, job: QueuedJob) -> Key:
        """Time of submission, then name."""
        return (job.submitted_s, job.job_id)

    def queued_key(self, job: QueuedJob, now_s: float) -> Key:
        """As `steady_key`."""
        return self.steady_key(job)

    def running_key(self, running: RunningJob, now_s: float) -> Key:
        """As if it waited."""
        return self.steady_key(running.job)

    def ranked(self, queue: Sequence[QueuedJob], view: ClusterView, now_s: float) -> list[QueuedJob]:
        """Oldest first."""
        return sorted(queue, key=self.steady_key)
