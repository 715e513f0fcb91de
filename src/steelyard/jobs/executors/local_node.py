"""What a local node is declared to be, and what its agent and the executor say to each other.

Messages are lines of JSON over a unix socket: `Order` to the agent, `Message` from it.
"""

import msgspec

from steelyard.jobs.executor import Attempt, AttemptEvent, StartOrder
from steelyard.model.resources import Resources
from steelyard.model.telemetry import NodeTelemetry

AGENT_MODULE = "steelyard.jobs.executors.node_agent"
SOCKET_NAME = "agent.socket"
IDENTITY_NAME = "agent"
DECLARATION_NAME = "node"


class LocalNode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One named node of this machine.

    capacity: what may be given out; None for the whole machine, as measured.
    cpus: cores its tasks are bound to; any when empty.
    cpu_is_limit: with cgroup v2, whether a task's cores are a cap rather than a share.
    respawn: whether its agent is started again when it died; else the node stays dead.
    """

    name: str
    capacity: Resources | None = None
    labels: dict[str, str] = {}
    spare: bool = False
    cpus: tuple[int, ...] = ()
    cpu_is_limit: bool = False
    respawn: bool = True
    sample_interval_s: float = 1.0


class Order(msgspec.Struct, omit_defaults=True):
    """To an agent. `term` of the controller that gives it; a lower one than seen is not obeyed.

    live: with a hello, the attempts that are to live here; None leaves all as they are.
    """

    kind: str  # hello, start, stop, acknowledge, leave
    term: int
    start: StartOrder | None = None
    attempt: Attempt | None = None
    grace_s: float = 0.0
    live: list[Attempt] | None = None


class Message(msgspec.Struct, omit_defaults=True):
    """From an agent.

    running: with a welcome, the attempts that it has, ended but unacknowledged ones too.
    """

    kind: str  # welcome, report, event, fenced
    term: int = 0
    event: AttemptEvent | None = None
    capacity: Resources | None = None
    telemetry: NodeTelemetry | None = None
    running: list[Attempt] = []


class Lines:
    """Whole lines out of pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines
