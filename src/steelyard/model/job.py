"""Jobs as the planner sees them: a gang of tasks that waits, or one that runs.

A job is placed whole or not at all. What a job is worth, how long it may still take and what it has
attained are facts that the caller keeps up to date; the planner only reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from steelyard.model.placement_policy import Claim, Placement
from steelyard.model.resources import RESOURCE_NAMES, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A job that waits for a place.

    claims: one a task, never empty; the job starts when all of them have a place.
    name: what the user calls this kind of job; with the user and the GPUs it is what history is kept by.
    tenant: whose quota and whose fair share it counts against.
    priority: greater is more urgent.
    submitted_s, deadline_s: in the planner's own time; None for no deadline.
    expected_time_s: how long it will still run once started, by the user or from history; None if unknown.
    expected_late_s: a time that it will most likely not exceed, for reservations; None if unknown.
    attained_gpu_s: GPU-seconds of progress kept so far (CPU-seconds for a job without GPUs).
    preemptible: whether it may be stopped and started again from a checkpoint.
    checkpoint_cost_s, restart_cost_s: what a stop and a new start take of its time.
    backup_node_id: the node that stands ready for it, "" for none; it is tried first after a failure.
    kept: places that survivors of a failed gang still hold, task → placement; only the rest is sought.
    kept_until_s: how long they may be held; a later plan that finds no place for the rest gives them back.
    attempt: the epoch of its next start; 0 for a job that never ran.
    """

    job_id: str
    claims: tuple[Claim, ...]
    name: str = ""
    user: str = ""
    tenant: str = ""
    priority: int = 0
    submitted_s: float = 0.0
    deadline_s: float | None = None
    expected_time_s: float | None = None
    expected_late_s: float | None = None
    attained_gpu_s: float = 0.0
    preemptible: bool = True
    checkpoint_cost_s: float = 0.0
    restart_cost_s: float = 0.0
    backup_node_id: str = ""
    kept: Mapping[str, Placement] = field(default_factory=dict)
    kept_until_s: float = 0.0
    attempt: int = 0
    gpus: float = field(init=False)
    shape: tuple[object, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.claims:
            raise ValueError(f"job {self.job_id!r} has no tasks: give it one claim a task")
        object.__setattr__(self, "gpus", sum(claim.demand.gpus for claim in self.claims))
        object.__setattr__(self, "shape", _shape(self.claims, self.backup_node_id))

    @property
    def tasks(self) -> int:
        """The size of the gang."""
        return len(self.claims)

    @property
    def width(self) -> float:
        """What a second of it costs: its GPUs, or its cores when it has none, at least a thousandth."""
        return self.gpus or max(0.001, sum(claim.demand.cpu_cores for claim in self.claims))

    @property
    def demand(self) -> Resources:
        """What all its tasks ask for together."""
        return total_demand(self.claims)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A job that holds its places.

    placements: task → place, all of the job's tasks.
    started_s: when this attempt started.
    last_checkpoint_s: the time up to which its work is kept; what came after is lost by a stop without one.
    moved_s: when it was last moved or preempted; None when never.
    moves: how often it was moved or preempted so far.
    stopping: it was asked to leave and will soon; its places are still held.
    """

    job: QueuedJob
    placements: Mapping[str, Placement]
    started_s: float
    last_checkpoint_s: float | None = None
    moved_s: float | None = None
    moves: int = 0
    stopping: bool = False

    @property
    def job_id(self) -> str:
        """The job's name."""
        return self.job.job_id

    def attained_gpu_s(self, now_s: float) -> float:
        """GPU-seconds of progress, with those of this attempt."""
        return self.job.attained_gpu_s + self.job.width * max(0.0, now_s - self.started_s)

    def remaining_s(self, now_s: float, unknown_s: float) -> float:
        """How long it is expected to run on; `unknown_s` where nobody knows.

        A job that outlives its expectation is expected to run as long again as it ran over, and at least a
        tenth of its expectation: with heavy tails, what is late is later than one thinks.
        """
        expected_s = self.job.expected_time_s
        if self.stopping:
            return 0.0
        if expected_s is None:
            return unknown_s
        ran_s = now_s - self.started_s
        return expected_s - ran_s if ran_s < expected_s else max(0.1 * expected_s, ran_s - expected_s)


def total_demand(claims: tuple[Claim, ...]) -> Resources:
    """The sum over claims, resource by resource."""
    if len(claims) == 1:
        return claims[0].demand
    return Resources(
        **{name: sum(float(getattr(claim.demand, name)) for claim in claims) for name in RESOURCE_NAMES}
    )


def gang(claim: Claim, tasks: int) -> tuple[Claim, ...]:
    """The claims of `tasks` equal tasks, named after the first's job: "job/0", "job/1", ..."""
    prefix = claim.job_id or claim.task_id
    return tuple(replace(claim, task_id=f"{prefix}/{rank}", job_id=prefix) for rank in range(tasks))


def _shape(claims: tuple[Claim, ...], backup_node_id: str) -> tuple[object, ...]:
    """What decides where the job fits: two jobs of one shape fit, or do not fit, alike."""
    kinds: dict[tuple[object, ...], int] = {}
    for claim in claims:
        kind = (
            tuple(float(getattr(claim.demand, name)) for name in RESOURCE_NAMES),
            claim.affinity_keys,
            claim.anti_affinity_keys,
            tuple(sorted(claim.node_labels.items())),
            claim.gpu_models,
            claim.forbidden_nodes,
            claim.preferred_nodes,
        )
        kinds[kind] = kinds.get(kind, 0) + 1
    return (backup_node_id, *kinds.items())
