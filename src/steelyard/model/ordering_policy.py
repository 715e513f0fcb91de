"""What an ordering policy is: who goes first when not everybody can."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.resources import Resources

Key = tuple[float | str, ...]
"""Smaller goes first. It ends in the job's name, so that no two jobs are equal."""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What an ordering policy may know besides the queue.

    capacity: of all usable nodes together.
    """

    running: Sequence[RunningJob]
    capacity: Resources


class OrderingPolicy(Protocol):
    """Put a queue in order. No I/O, no clock, no chance.

    preemptive: whether a job may take the place of a running one that the policy would put behind it.
    """

    preemptive: bool

    def ranked(self, queue: Sequence[QueuedJob], view: ClusterView, now_s: float) -> list[QueuedJob]:
        """Every job of `queue` once, best first."""
        ...

    def running_key(self, running: RunningJob, now_s: float) -> Key:
        """Where a running job would stand if it waited now; to be compared with `queued_key`."""
        ...

    def queued_key(self, job: QueuedJob, now_s: float) -> Key:
        """Where a waiting job stands."""
        ...


@runtime_checkable
class SteadyOrdering(Protocol):
    """A policy whose keys do not change while a job waits, so that a sorted queue stays sorted."""

    @property
    def epoch(self) -> int | None:
        """Keys stay as they are while this stays the same; None when they may change at any time."""
        ...

    def steady_key(self, job: QueuedJob) -> Key:
        """Where the job stands, as long as it waits."""
        ...


@runtime_checkable
class AccountingOrdering(Protocol):
    """A policy that remembers who used what; the caller reports it as jobs end or are stopped."""

    def observe_use(self, job: QueuedJob, ran_s: float, now_s: float) -> None:
        """`job` held its places for `ran_s` seconds up to now."""
        ...


@runtime_checkable
class LearningOrdering(Protocol):
    """A policy that learns from ends; the caller reports each job that ended well."""

    def observe_end(self, job: QueuedJob, ran_s: float, now_s: float) -> None:
        """`job` ended after `ran_s` seconds of work, over all its attempts."""
        ...
