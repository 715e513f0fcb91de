"""What the jobs service asks of whatever runs its tasks: local processes, Ray, Slurm.

The controller decides, an executor performs, and nothing runs twice because of four rules:

1. Every order carries (task, epoch). Epochs of a task only rise. An executor refuses an order whose
   epoch it has seen or that is older than one it has seen: a repeated order does nothing.
2. An executor never starts a task again by itself.
3. An end is told again at every `poll` until it is acknowledged: the service acknowledges once the
   outcome is in its journal, so that a controller that dies in between hears of it again.
4. After a restart of the controller, `reattach` names the attempts that are to live. What runs under
   any other (task, epoch) is killed; what ran and ended meanwhile is told by the next `poll`.

All calls come from one thread, one at a time. They may block for a second, not for a minute; what takes
longer is started in the call and told by `poll`. No call raises for a lost node or a failed task: those
are events. `ExecutorError` is for an executor that cannot work at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from steelyard.model.errors import SteelyardError
from steelyard.model.resources import Resources
from steelyard.model.telemetry import NodeTelemetry
from steelyard.policies.failure.suspicion import Word


class ExecutorError(SteelyardError):
    """The operator's fault: an executor that cannot be used, as when Ray is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one task. Epochs rise by one a try and are never used again."""

    task_id: str
    epoch: int

    def __str__(self) -> str:
        return f"{self.task_id}@{self.epoch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOrder:
    """Run this command on this node and no other.

    environment: all that the task contract promises is in it already (docs/jobs.md); an executor adds
    only what it alone can know, such as `CUDA_VISIBLE_DEVICES` for `gpu_indices`. It is laid over the
    node's own environment.
    log_path: where both outputs go, appended; "" lets the executor choose.
    demand: what the task may use: cores are a share (nice, affinity, cgroup), memory is a hard limit.
    grace_s: how long after the request to stop the whole process group is killed.
    time_limit_s: after so long the node asks it to stop, also when nobody watches; 0 for no limit.
    """

    attempt: Attempt
    node_id: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = ""
    log_path: str = ""
    demand: Resources = field(default_factory=Resources)
    gpu_indices: tuple[int, ...] = ()
    grace_s: float = 10.0
    nice: int = 0
    time_limit_s: float = 0.0


class EventKind(StrEnum):
    """What may become of an attempt."""

    STARTED = "started"  # the process exists
    REFUSED = "refused"  # it never ran, and will not: no such node, command not found, disk full
    ENDED = "ended"  # it ran and no process of it is left
    LOST = "lost"  # nobody knows: its node is gone. The executor makes sure that it cannot go on


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEvent:
    """Something became of an attempt.

    exit_code: of an ended one; a signal's negative number as Python has it, None when nobody knows.
    asked_to_stop: whether the request to stop had reached it before it ended.
    reason: in words, for the timeline.
    node_fault: the node is to blame (disk full, out of memory outside the task's limit): it gets drained.
    timed_out: it was asked to stop since its time limit was over.
    executor_fault: of a refused one: Slurm, say, did not take the order. It is no failure of the task.
    """

    attempt: Attempt
    kind: EventKind
    node_id: str = ""
    exit_code: int | None = None
    asked_to_stop: bool = False
    reason: str = ""
    node_fault: bool = False
    timed_out: bool = False
    executor_fault: bool = False


Liveness = Word
"""A second witness's word on a silent node: ALIVE when its agent exists and gets on, however slowly; DEAD
when it is certain that nothing runs there any more; else UNKNOWN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """One node as last heard of.

    heard_at_s: monotonic time of the last sign of life, in this process's clock.
    telemetry: the last sample, unsmoothed; None before the first.
    labels: rack, zone, gpu_model and whatever else placement may ask for.
    is_former: no node of this service any more; it is known until what runs there has ended.
    """

    node_id: str
    capacity: Resources
    heard_at_s: float
    labels: Mapping[str, str] = field(default_factory=dict)
    telemetry: NodeTelemetry | None = None
    spare: bool = False
    is_former: bool = False


class Executor(Protocol):
    """Runs attempts on nodes. See the module for the four rules."""

    name: str

    def nodes(self) -> Sequence[NodeReport]:
        """All nodes that it knows, lost ones too (their `heard_at_s` stands still)."""
        ...

    def reattach(self, live: Sequence[tuple[Attempt, str]]) -> None:
        """First call after a start: these attempts (with their nodes) are to live, all others to die."""
        ...

    def start(self, order: StartOrder) -> None:
        """Begin an attempt; what becomes of it is told by `poll`. A repeated order does nothing."""
        ...

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Ask an attempt to leave (SIGTERM), kill its whole group after `grace_s`. Unknown: nothing."""
        ...

    def poll(self) -> Sequence[AttemptEvent]:
        """What became of attempts since the last call; ends are repeated until acknowledged."""
        ...

    def acknowledge(self, attempt: Attempt) -> None:
        """The end of this attempt is in the journal: it need not be told again."""
        ...

    def witness(self, node_id: str) -> Liveness:
        """Look at a silent node by a second way."""
        ...

    def fence(self, node_id: str) -> bool:
        """A node was judged lost: end what runs there. True when it is certain that nothing does."""
        ...

    def read_log(self, attempt: Attempt, offset_bytes: int, limit_bytes: int) -> bytes:
        """A piece of an attempt's output; empty at its present end."""
        ...

    def close(self) -> None:
        """The controller leaves; tasks run on."""
        ...


@runtime_checkable
class Dismissable(Protocol):
    """An executor whose nodes can be ended with it (`steelyard down`)."""

    def reattach_to_dismiss(self) -> None:
        """Connect once more after `close`, to nodes as they are."""
        ...

    def dismiss(self, grace_s: float) -> None:
        """End all tasks and agents; how they ended is told at the next start."""
        ...
