"""What the controller remembers of jobs, tasks and nodes: everything that must outlive a crash."""

from dataclasses import dataclass
from enum import StrEnum

from steelyard.model.job_specification import JobSpecification


class TaskState(StrEnum):
    """Where a task is on its way."""

    QUEUED = "queued"  # waits for a place, or for what it depends on
    PLACING = "placing"  # has a place and was ordered to start there
    RUNNING = "running"
    STOPPING = "stopping"  # was asked to leave; `intent` says what comes then
    MOVING = "moving"  # was asked to leave for another node
    BACKING_OFF = "backing off"  # failed; waits before it is tried again
    PAUSED = "paused"  # until a person resumes it
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


HOLDS_A_PLACE = frozenset({TaskState.PLACING, TaskState.RUNNING, TaskState.STOPPING, TaskState.MOVING})
FINAL = frozenset({TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED})
WAITS = frozenset({TaskState.QUEUED, TaskState.BACKING_OFF, TaskState.PAUSED})
LIVELIEST_FIRST = (
    TaskState.RUNNING,
    TaskState.MOVING,
    TaskState.STOPPING,
    TaskState.PLACING,
    TaskState.QUEUED,
    TaskState.BACKING_OFF,
    TaskState.PAUSED,
    TaskState.FAILED,
    TaskState.CANCELLED,
    TaskState.DONE,
)
"""A job is what its liveliest task is."""


class Intent(StrEnum):
    """What a task that is stopping becomes. Each beats those before it."""

    NONE = ""
    REQUEUE = "requeue"
    PAUSE = "pause"
    CANCEL = "cancel"
    FAIL = "fail"  # its gang failed for good


INTENT_RANK = {intent: rank for rank, intent in enumerate(Intent)}


@dataclass(frozen=True, slots=True)
class Seat:
    """A node, and which of its GPUs."""

    node_id: str
    devices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """One task.

    reason: of the last change, for people.
    since_s: controller time of the last change.
    epoch: of the current or last attempt; 0 before the first. No two attempts share one.
    seat: held now; target: held already, to move to.
    ran_s: time spent running in attempts that ended.
    not_before_s: until when it backs off.
    preferred_node_id: tried first: a declared backup after a loss, or where a person wants it.
    refused_by: nodes that would not start it; forgotten once it has run.
    kept: the place that a survivor of a failed gang still claims while it waits for the rest.
    kept_until_s: how long it claims that at most; set from when its gang failed, 0 when it claims nothing.
    """

    task_id: str
    job_id: str
    index: int
    is_reduce: bool = False
    state: TaskState = TaskState.QUEUED
    reason: str = "submitted"
    since_s: float = 0.0
    epoch: int = 0
    seat: Seat | None = None
    target: Seat | None = None
    intent: Intent = Intent.NONE
    started_s: float | None = None
    ordered_s: float = 0.0
    ran_s: float = 0.0
    failures: int = 0
    losses: int = 0
    moves: int = 0
    moved_s: float | None = None
    not_before_s: float = 0.0
    exit_code: int | None = None
    preferred_node_id: str = ""
    refused_by: tuple[str, ...] = ()
    kept: Seat | None = None
    kept_until_s: float = 0.0

    @property
    def holds_a_place(self) -> bool:
        """Whether resources are taken by it."""
        return self.state in HOLDS_A_PLACE

    @property
    def is_final(self) -> bool:
        """Whether nothing more will become of it."""
        return self.state in FINAL

    @property
    def node_id(self) -> str:
        """Where it is, "" for nowhere."""
        return self.seat.node_id if self.seat is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job.

    key: what makes a repeated submission the same job; "" for none.
    attempt: of the gang, or starts of its tasks so far.
    meeting_port: where the ranks of a gang meet (MASTER_PORT); 0 until placed.
    """

    job_id: str
    specification: JobSpecification
    key: str = ""
    submitted_s: float = 0.0
    submitted_wall_s: float = 0.0
    attempt: int = 0
    meeting_port: int = 0

    def task_ids(self) -> list[str]:
        """All its tasks, the reduce step last."""
        count = self.specification.all_tasks
        return [f"{self.job_id}.{index}" for index in range(count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptKey:
    """A key whose job is forgotten: a repeated submission is still that job, until the promise ends."""

    key: str
    job_id: str
    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """What was decided about a node; what it measures is not kept here.

    cordoned: takes no new tasks, with the reason; "" when it does.
    lost: judged dead, with the reason; "" when not.
    """

    node_id: str
    cordoned: str = ""
    lost: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change of one task, for the timeline."""

    task_id: str
    job_id: str
    before: str
    after: str
    reason: str
    node_id: str
    epoch: int
    at_s: float
