"""What a simulated scheduler is told about durations: all, nothing, or what ended jobs taught."""

from dataclasses import dataclass, field
from typing import Protocol

from steelyard.policies.history import DurationHistory
from steelyard.traces.job import TraceJob


class Foresight(Protocol):
    """Says how long a job will still run."""

    def left_s(self, job: TraceJob, ran_s: float, now_s: float) -> tuple[float | None, float | None]:
        """(expected, late) time left of a job that has run for `ran_s`; None where it is not known."""
        ...

    def observe_end(self, job: TraceJob, now_s: float) -> None:
        """A job ended: its duration is no secret any more."""
        ...


class Oracle:
    """Knows every duration; only good for comparison."""

    def left_s(self, job: TraceJob, ran_s: float, now_s: float) -> tuple[float | None, float | None]:
        """The truth."""
        left_s = job.duration_s - ran_s
        return left_s, left_s

    def observe_end(self, job: TraceJob, now_s: float) -> None:
        """Nothing new."""


class Blind:
    """Knows nothing."""

    def left_s(self, job: TraceJob, ran_s: float, now_s: float) -> tuple[float | None, float | None]:
        """Not known."""
        return None, None

    def observe_end(self, job: TraceJob, now_s: float) -> None:
        """Not listened to."""


@dataclass(slots=True)
class Learned:
    """Knows what jobs that ended before now took."""

    history: DurationHistory = field(default_factory=DurationHistory)

    def left_s(self, job: TraceJob, ran_s: float, now_s: float) -> tuple[float | None, float | None]:
        """By the history of its user, name and GPUs."""
        prediction = self.history.predict(job.user, job.name, job.gpus, ran_s, now_s)
        return prediction.expected_s, prediction.late_s

    def observe_end(self, job: TraceJob, now_s: float) -> None:
        """Learn."""
        self.history.observe(job.user, job.name, job.gpus, job.duration_s, now_s)
