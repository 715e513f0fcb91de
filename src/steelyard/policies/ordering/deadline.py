"""Earliest deadline first; jobs that can no longer meet theirs step back.

EDF is optimal on one machine as long as all deadlines can be met, and falls apart under overload, because it
serves jobs that are already lost. So a job whose expected time does not fit before its deadline any more goes
behind all that can still make it and behind jobs without a deadline, of which the shortest go first.
Source: Liu and Layland (1973) for the rule; Chronus (SoCC 2021) for strict, soft and best-effort jobs.
Ties go by slack (deadline less expected time), time of submission, name. Cost: one comparison a job.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import ClusterView, Key

_IN_TIME, _NO_DEADLINE, _LATE = 0.0, 1.0, 2.0


@dataclass(slots=True)
class EarliestDeadline:
    """By deadline.

    unknown_s: for a job of which nobody knows how long it takes.
    drop_late: put jobs that cannot meet their deadline behind all others; else pure EDF.
    """

    unknown_s: float = 3600.0
    drop_late: bool = True
    preemptive: bool = False

    def queued_key(self, job: QueuedJob, now_s: float) -> Key:
        """Class (in time, no deadline, late), then deadline, then slack."""
        expected_s = self.unknown_s if job.expected_time_s is None else job.expected_time_s
        return self._key(job, expected_s, now_s)

    def running_key(self, running: RunningJob, now_s: float) -> Key:
        """As if it waited, with what it has left to do."""
        return self._key(running.job, running.remaining_s(now_s, self.unknown_s), now_s)

    def ranked(self, queue: Sequence[QueuedJob], view: ClusterView, now_s: float) -> list[QueuedJob]:
        """Most urgent first."""
        return sorted(queue, key=lambda job: (*self.queued_key(job, now_s), job.submitted_s, job.job_id))

    def _key(self, job: QueuedJob, left_s: float, now_s: float) -> Key:
        if job.deadline_s is None:
            return (_NO_DEADLINE, left_s, 0.0)
        slack_s = job.deadline_s - left_s
        if self.drop_late and now_s > slack_s:
            return (_LATE, left_s, job.deadline_s)
        return (_IN_TIME, job.deadline_s, slack_s)
