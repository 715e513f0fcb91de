"""What happens to the controller, and what it wants done: the two alphabets of its state machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from steelyard.model.job_record import Seat
from steelyard.model.job_specification import JobSpecification


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A person submitted a job; the same key again is the same job."""

    specification: JobSpecification
    key: str = ""
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The planner found seats: for one task, or for a whole gang.

    why: a sentence a task, for the timeline.
    meeting_port: for the ranks of a gang.
    """

    job_id: str
    seats: Mapping[str, Seat]
    why: Mapping[str, str] = field(default_factory=dict)
    meeting_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveOrdered:
    """A running task is to leave its node; for `target`, or for wherever there is room."""

    task_id: str
    target: Seat | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preempted:
    """Tasks are to give up their places and to wait again; a gang's one means all of it."""

    task_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsReleased:
    """Survivors of a failed gang give back the places that they kept."""

    job_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """The process exists."""

    task_id: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRefused:
    """The process never existed.

    executor_fault: whoever was to carry the order did not take it: neither the task nor the node is to blame.
    """

    task_id: str
    epoch: int
    reason: str
    node_fault: bool = False
    executor_fault: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """The process is gone; `exit_code` None when nobody knows how it ended.

    timed_out: its node asked it to stop, since the time limit of its job was over.
    """

    task_id: str
    epoch: int
    exit_code: int | None
    asked_to_stop: bool = False
    reason: str = ""
    node_fault: bool = False
    timed_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLost:
    """The attempt is over by fencing; nothing of it runs any more, and nobody knows how far it came."""

    task_id: str
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLost:
    """A node is judged dead and fenced: nothing runs there any more that we started."""

    node_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReturned:
    """A lost node is heard of again, empty."""

    node_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCordoned:
    """A node takes no new tasks; with `drain` those on it leave too."""

    node_id: str
    reason: str
    drain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUncordoned:
    """A node takes tasks again."""

    node_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrdered:
    """A person wants a job gone."""

    job_id: str
    reason: str = "cancelled by a person"


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseOrdered:
    """A person wants a job to leave its places and to stay away."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeOrdered:
    """A person wants a paused job to go on."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """Jobs that ended long ago are to be forgotten, and keys whose promise is over.

    keep_keys_s: how long after its submission a key of these jobs stands for its job.
    """

    job_ids: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    keep_keys_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePassed:
    """Back-offs end, and orders that nobody confirmed are given again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The controller starts on what its journal holds."""


Event = (
    Submitted
    | Placed
    | MoveOrdered
    | Preempted
    | ClaimsReleased
    | AttemptStarted
    | AttemptRefused
    | AttemptEnded
    | AttemptLost
    | NodeLost
    | NodeReturned
    | NodeCordoned
    | NodeUncordoned
    | CancelOrdered
    | PauseOrdered
    | ResumeOrdered
    | Forgotten
    | TimePassed
    | Recovered
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Order an attempt to start at a seat."""

    task_id: str
    epoch: int
    seat: Seat


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Order an attempt to leave."""

    task_id: str
    epoch: int
    node_id: str
    grace_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """The end of an attempt is recorded: its executor may forget it."""

    task_id: str
    epoch: int


Action = Start | Stop | Acknowledge
