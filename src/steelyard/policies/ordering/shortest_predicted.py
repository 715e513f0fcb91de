"""Shortest predicted time first, by time alone or by service (time × GPUs).

Mean completion is least when short jobs go first; with several GPUs a job, the service it takes counts.
Durations come from the user or from history (`policies.history`); a job without any counts as
`unknown_s`. Source: SJF; QSSF of Helios (SC 2021), which ranks by predicted duration × GPUs. Long jobs may
starve under steady overload: `ageing` subtracts that many seconds a second waited, the same for all, so the
order of two waiting jobs stays as it is. The preemptive form takes the place of running jobs that have more
time left (SRTF). Ties go by time of submission, then name. Cost: one comparison a job.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import ClusterView, Key


@dataclass(slots=True)
class ShortestPredicted:
    """By expected time left.

    by_service: multiply by the job's GPUs. unknown_s: for a job of which nobody knows how long it takes.
    ageing: seconds of expected time forgiven for each second waited; 0 is the pure form.
    """

    by_service: bool = False
    unknown_s: float = 3600.0
    ageing: float = 0.0
    preemptive: bool = False

    @property
    def epoch(self) -> int | None:
        """Keys of waiting jobs never change."""
        return 0

    def steady_key(self, job: QueuedJob) -> Key:
        """Expected time or service, aged; then time of submission, then name."""
        return (self._cost(job) + self.ageing * job.submitted_s, job.submitted_s, job.job_id)

    def queued_key(self, job: QueuedJob, now_s: float) -> Key:
        """Expected cost from here to the end."""
        return (self._cost(job),)

    def running_key(self, running: RunningJob, now_s: float) -> Key:
        """Expected cost from here to the end."""
        left_s = running.remaining_s(now_s, self.unknown_s)
        return (left_s * running.job.width if self.by_service else left_s,)

    def ranked(self, queue: Sequence[QueuedJob], view: ClusterView, now_s: float) -> list[QueuedJob]:
        """Shortest first."""
        return sorted(queue, key=self.steady_key)

    def _cost(self, job: QueuedJob) -> float:
        time_s = self.unknown_s if job.expected_time_s is None else job.expected_time_s
        return time_s * job.width if self.by_service else time_s
