"""What a run of a queue amounts to."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from steelyard.model.metrics import percentile
from steelyard.model.node import Node
from steelyard.simulation.queue_run import JobOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReport:
    """The figures of one ordering with one placement.

    mean_used_percent: GPU-seconds (core-seconds without GPUs) of jobs over those that there were until the
        end.
    deadlines_met_percent: of jobs that have one; 100 when none has.
    """

    name: str
    jobs: int
    never: int
    mean_completion_s: float
    median_completion_s: float
    p99_completion_s: float
    mean_wait_s: float
    makespan_s: float
    mean_used_percent: float
    deadlines_met_percent: float
    stops: int

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def summarise_queue(
    name: str, outcomes: Sequence[JobOutcome], never: int, nodes: Sequence[Node]
) -> QueueReport:
    """Sum up one run; all zeros when no job ended."""
    completions = [outcome.completion_s for outcome in outcomes] or [0.0]
    began_s = min((outcome.job.submitted_s for outcome in outcomes), default=0.0)
    makespan_s = max((outcome.finished_s for outcome in outcomes), default=0.0) - began_s
    dated = [outcome for outcome in outcomes if outcome.job.deadline_s is not None]
    gpus = sum(node.capacity.gpus for node in nodes)
    capacity = gpus or sum(node.capacity.cpu_cores for node in nodes)
    work = sum(
        outcome.job.duration_s * (outcome.job.gpus if gpus else outcome.job.cpu_cores) for outcome in outcomes
    )
    return QueueReport(
        name=name,
        jobs=len(outcomes),
        never=never,
        mean_completion_s=statistics.fmean(completions),
        median_completion_s=percentile(completions, 0.5),
        p99_completion_s=percentile(completions, 0.99),
        mean_wait_s=statistics.fmean([outcome.waited_s for outcome in outcomes] or [0.0]),
        makespan_s=makespan_s,
        mean_used_percent=100 * work / (capacity * makespan_s) if makespan_s > 0 else 0.0,
        deadlines_met_percent=100 * sum(each.in_time for each in dated) / len(dated) if dated else 100.0,
        stops=sum(outcome.stops for outcome in outcomes),
    )
