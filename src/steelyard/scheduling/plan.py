"""What one planning round decides: a value that says what to do and why; somebody else does it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from steelyard.model.placement_policy import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start a whole job.

    placements: task → place, for every task of the job, places that it kept included.
    attempt: the epoch that the start carries, as in the queued job.
    after: jobs that must have left their places before; () when there is room now.
    backfilled: it goes before a job that was ahead of it, without delaying that one.
    """

    job_id: str
    placements: Mapping[str, Placement]
    attempt: int
    after: tuple[str, ...] = ()
    backfilled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Preemption:
    """Stop a running job for another one; it goes back to the queue with what its checkpoint keeps.

    cost_s: time that the job loses: checkpoint, restart.
    """

    job_id: str
    for_job_id: str
    reason: str
    cost_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Stop one task and start it again elsewhere, from its checkpoint.

    gain_s: time that its job is expected to save; cost_s: what stop and start take. gain_s is above cost_s,
    but for a consolidation, whose gain is a node that falls empty.
    """

    job_id: str
    task_id: str
    from_node_id: str
    to: Placement
    gain_s: float
    cost_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a job does not start in this round.

    reason: "resources" (nothing fits now), "order" (somebody goes first), "quota", or "never" (it is larger
        than the cluster).
    resource: what blocks it, "" when it is not a resource; missing: how much of it, in that resource's unit.
    behind: the job that goes first, "" when none does.
    feasible_s: the nearest time at which it is expected to fit; None when not known.
    sentence: all of that for people.
    """

    reason: str
    sentence: str
    resource: str = ""
    missing: float = 0.0
    behind: str = ""
    feasible_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One round's decisions, to be carried out in this order: releases, preemptions, starts, moves.

    starts: job → all of its placements, best first. waits: job → why, for those that were looked at.
    releases: gangs whose survivors must give their places back → why.
    head: the job that the others wait behind, "" when there is none.
    """

    starts: Mapping[str, Start] = field(default_factory=dict)
    preemptions: tuple[Preemption, ...] = ()
    moves: tuple[Move, ...] = ()
    waits: Mapping[str, Wait] = field(default_factory=dict)
    releases: Mapping[str, str] = field(default_factory=dict)
    head: str = ""

    def wait_of(self, job_id: str) -> Wait | None:
        """Why a job waits, also one that was not looked at; None for one that starts."""
        if job_id in self.starts:
            return None
        found = self.waits.get(job_id)
        if found is not None:
            return found
        return Wait(
            reason="order", behind=self.head, sentence=f"job {self.head!r} goes first and waits for room"
        )

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.starts or self.preemptions or self.moves or self.releases)
