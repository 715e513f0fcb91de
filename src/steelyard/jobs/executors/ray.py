"""Tasks on the nodes of a Ray cluster: steelyard decides, Ray carries.

Ray gives one pinned process a node (`ray_node`), in which runs the same agent as on a local node, so the
four rules of an executor hold by the same code. Ray's restarts are off. Every node needs steelyard and Ray
installed. A node is dead for certain when its raylet's port is refused or Ray vouches for the end of the
actor: both are seen seconds after a death, long before Ray's own detector (about 15 s) has spoken.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from steelyard.jobs.executor import (
    Attempt,
    AttemptEvent,
    EventKind,
    ExecutorError,
    Liveness,
    NodeReport,
    StartOrder,
)
from steelyard.jobs.executors.bridge_link import BridgeLink
from steelyard.jobs.executors.local_node import Message, Order
from steelyard.jobs.executors.ray_lines import BRIDGE_MODULE, SPARE_LABEL, FromBridge, RayNodeInfo, ToBridge
from steelyard.jobs.executors.ray_node import HEAD_TIMEOUT_S, refuses
from steelyard.model.resources import Resources
from steelyard.model.telemetry import NodeTelemetry

CONNECT_TIMEOUT_S = 40.0
CONNECT_TRIES = 3
SETTLE_S = 15.0
RESPAWN_S = 5.0
LOG_PLACES_LIMIT = 20_000  # of attempts that ended, oldest first
# An agent looks twice a second whether its raylet is there, and needs a moment to end its tasks.
DEATH_IS_WHOLE_AFTER_S = 1.5


@dataclass(slots=True)
class _Node:
    """One named node. gone_at_s: since when it is known that it ended."""

    info: RayNodeInfo
    capacity: Resources
    heard_at_s: float
    is_open: bool = False
    telemetry: NodeTelemetry | None = None
    gone_at_s: float | None = None
    reason: str = ""  # why it does not answer


@dataclass(slots=True)
class RayExecutor:
    """See the module.

    address: of Ray's head, HOST:PORT, as `ray start --address` takes it.
    term: of this controller, from its journal.
    python: the interpreter of the environment that has Ray.
    log_path: where the bridge's own errors go.
    """

    address: str
    term: int
    python: str = sys.executable
    log_path: str = os.devnull
    clock: Callable[[], float] = time.monotonic
    name: str = "ray"
    fenced_by: int | None = None
    _link: BridgeLink | None = None
    _nodes: dict[str, _Node] = field(default_factory=dict)
    _where: dict[Attempt, str] = field(default_factory=dict)
    _log_places: dict[Attempt, tuple[str | None, str]] = field(default_factory=dict)
    _events: list[AttemptEvent] = field(default_factory=list)
    _logs: dict[int, bytes] = field(default_factory=dict)
    _requests: int = 0
    _next_spawn_s: float = 0.0
    _is_dismissing: bool = False
    head_answers: bool = True

    # --- the bridge ---------------------------------------------------------------------------------------

    def reattach(self, live: Sequence[tuple[Attempt, str]]) -> None:
        """Connect to Ray and to the agents of its nodes. Raises ExecutorError when that cannot be done."""
        self._where = dict(live)
        if not self.address.rpartition(":")[2].isdigit():
            raise ExecutorError(f"the address of Ray is {self.address!r}: give its head as HOST:PORT")
        if refuses(self.address, HEAD_TIMEOUT_S):
            raise ExecutorError(f"nobody listens at {self.address}: start Ray with `ray start --head`")
        self._connect()
        began_s = time.monotonic()
        while (waited_s := time.monotonic() - began_s) < CONNECT_TIMEOUT_S:
            self._take_in(0.2)
            usable = [node for node in self._nodes.values() if node.info.alive]
            # One slow node of many must not keep the rest from working: it comes when it comes.
            is_enough = any if waited_s > SETTLE_S else all
            if usable and is_enough(node.is_open for node in usable):
                return
        self.close()
        silent = f"silent for {CONNECT_TIMEOUT_S:g} s"
        alive = {name: node for name, node in self._nodes.items() if node.info.alive}
        why = ", ".join(f"{name}: {node.reason or silent}" for name, node in alive.items())
        raise ExecutorError(
            f"no node of the Ray cluster at {self.address} answers ({why or 'none offers a core'}): "
            "is steelyard installed on each?"
        )

    def _spawn(self) -> None:
        paths = os.pathsep.join(path for path in sys.path if path.endswith("src"))
        environment = os.environ | ({"PYTHONPATH": paths} if paths else {})
        try:
            command = [self.python, "-m", BRIDGE_MODULE, self.address]
            self._link = BridgeLink(command, environment, self.log_path)
        except OSError as error:
            raise ExecutorError(f"{self.python} cannot be started: {error.strerror}") from None

    def _connect(self) -> None:
        """Start the bridge, again where it fails: a head that has just begun may turn guests away."""
        until_s = time.monotonic() + CONNECT_TIMEOUT_S
        why = ""
        for _ in range(CONNECT_TRIES):
            self._spawn()
            why = self._wait_until_ready(until_s)
            if not why:
                return
            self.close()
            if time.monotonic() >= until_s or refuses(self.address, HEAD_TIMEOUT_S):
                break
        raise ExecutorError(why)

    def _wait_until_ready(self, until_s: float) -> str:
        """Why the bridge is not ready; "" when it is."""
        while time.monotonic() < until_s and self._link is not None and self._link.is_open:
            is_ready = False
            for line in self._link.receive(0.2):
                if line.kind == "failed":
                    return f"{line.reason} (is Ray's head running?)"
                is_ready = is_ready or line.kind == "ready"
                # On a busy machine others come with it, and that a node is open is said only once.
                self._take(line, self.clock())
            if is_ready:
                return ""
        return (
            f"no connection to Ray at {self.address}: is it running, and has {self.python} the extra "
            "`steelyard[ray]` installed?"
        )

    def _take_in(self, patience_s: float = 0.0) -> None:
        now_s = self.clock()
        if self._link is None or not self._link.is_open:
            self._spawn_again(now_s)
            return
        for line in self._link.receive(patience_s):
            self._take(line, self.clock())

    def _spawn_again(self, now_s: float) -> None:
        if now_s < self._next_spawn_s:
            return
        self._next_spawn_s = now_s + RESPAWN_S
        self.close()
        for node in self._nodes.values():
            node.is_open = False
        self.head_answers = not refuses(self.address, HEAD_TIMEOUT_S)
        if self.head_answers:
            self._spawn()  # it says by itself when it is ready, or why it ended

    def _take(self, line: FromBridge, now_s: float) -> None:
        if line.kind == "nodes":
            self.head_answers = True
            for info in line.nodes:
                self._take_node(info, now_s)
        elif line.kind in ("head", "failed"):
            self.head_answers = False
        elif line.kind == "log":
            self._logs[line.request] = line.data
        elif (node := self._nodes.get(line.node)) is None:
            return
        elif line.kind == "open":
            node.is_open, node.gone_at_s, node.heard_at_s = True, None, now_s
            here = [attempt for attempt, name in self._where.items() if name == line.node]
            live = None if self._is_dismissing else here
            self._send(line.node, Order(kind="hello", term=self.term, live=live))
        elif line.kind in ("gone", "silent"):
            node.is_open, node.reason = False, line.reason
            if line.kind == "gone" and node.info.ray_id == line.ray_id:
                node.gone_at_s = node.gone_at_s or now_s
        elif line.message is not None:
            self._take_message(node, line.message, now_s)

    def _take_node(self, info: RayNodeInfo, now_s: float) -> None:
        if info.cpus <= 0 and info.name not in self._nodes:
            return  # a head that offers no core takes no task; a dead node offers none either
        node = self._nodes.get(info.name)
        if node is None:
            capacity = Resources(cpu_cores=info.cpus, memory_bytes=info.memory_bytes, gpus=info.gpus)
            self._nodes[info.name] = _Node(info, capacity, now_s)
            return
        if not info.alive and node.info.ray_id == info.ray_id:
            node.gone_at_s = node.gone_at_s or now_s
        node.info = info

    def _take_message(self, node: _Node, message: Message, now_s: float) -> None:
        node.heard_at_s = now_s
        if message.kind == "fenced":
            self.fenced_by = message.term
        if message.event is not None:
            self._events.append(message.event)
        if message.capacity is not None:
            node.capacity = message.capacity
        if message.telemetry is not None:
            node.telemetry = message.telemetry

    # --- the executor's calls -----------------------------------------------------------------------------

    def nodes(self) -> Sequence[NodeReport]:
        """All that offered a core since the start."""
        return [
            NodeReport(
                node_id=name, capacity=node.capacity, heard_at_s=node.heard_at_s, labels=self._labels(node),
                telemetry=node.telemetry, spare=node.info.labels.get(SPARE_LABEL) == "true",
            )
            for name, node in self._nodes.items()
        ]  # fmt: skip

    def _labels(self, node: _Node) -> dict[str, str]:
        """Ray's own, and the address by which ranks on other machines find this one."""
        labels = dict(node.info.labels)
        if len({each.info.address for each in self._nodes.values()}) > 1:
            labels["address"] = node.info.address
        return labels

    def start(self, order: StartOrder) -> None:
        """Give the order to the node's agent."""
        if order.node_id not in self._nodes:
            reason = f"Ray has no node {order.node_id!r}"
            self._events.append(
                AttemptEvent(
                    attempt=order.attempt, kind=EventKind.REFUSED, node_id=order.node_id, reason=reason
                )
            )
            return
        self._where[order.attempt] = order.node_id
        self._log_places[order.attempt] = (order.node_id, order.log_path)
        if len(self._log_places) > LOG_PLACES_LIMIT:
            del self._log_places[next(iter(self._log_places))]
        self._send(order.node_id, Order(kind="start", term=self.term, start=order))

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Ask the agent that has it, or all where nobody knows."""
        self._send_about(attempt, Order(kind="stop", term=self.term, attempt=attempt, grace_s=grace_s))

    def acknowledge(self, attempt: Attempt) -> None:
        """Let the agent forget an end."""
        self._send_about(attempt, Order(kind="acknowledge", term=self.term, attempt=attempt))
        self._where.pop(attempt, None)

    def _send_about(self, attempt: Attempt, order: Order) -> None:
        node = self._where.get(attempt)
        for name in [node] if node is not None else [*self._nodes]:
            self._send(name, order)

    def _send(self, name: str, order: Order) -> None:
        # What does not arrive is ordered again: the controller repeats what nobody confirmed.
        if self._link is not None and name in self._nodes and self._nodes[name].is_open:
            self._link.send(ToBridge(kind="order", node=name, order=order))

    def poll(self) -> Sequence[AttemptEvent]:
        """All that the agents said since the last call."""
        self._take_in()
        events, self._events = self._events, []
        return events

    def witness(self, node_id: str) -> Liveness:
        """Knock at the raylet's port: refused is dead. Else Ray's head is the witness.

        Where the head cannot be seen either, it is us who are cut off: the nodes may well go on, so they
        count as alive until Ray itself would have ended them (a minute).
        """
        node = self._nodes.get(node_id)
        if node is None:
            return Liveness.DEAD
        if refuses(f"{node.info.address}:{node.info.port}", HEAD_TIMEOUT_S):
            node.gone_at_s = node.gone_at_s or self.clock()
        return Liveness.ALIVE if node.gone_at_s is None else Liveness.DEAD

    def fence(self, node_id: str) -> bool:
        """End what a node still runs; true once it is known to be gone."""
        node = self._nodes.get(node_id)
        if node is None:
            return True
        if self._link is not None:
            self._link.send(ToBridge(kind="fence", node=node_id))
        self._where = {attempt: name for attempt, name in self._where.items() if name != node_id}
        if self.witness(node_id) is not Liveness.DEAD or node.gone_at_s is None:
            return False
        time.sleep(max(0.0, node.gone_at_s + DEATH_IS_WHOLE_AFTER_S - self.clock()))
        return True

    def read_log(self, attempt: Attempt, offset_bytes: int, limit_bytes: int) -> bytes:
        """A piece of an attempt's output, from its node; empty when the node does not answer in a second."""
        # Its path is known here since the start; after a restart of ours its agent still has the order.
        node, path = self._log_places.get(attempt, (self._where.get(attempt), ""))
        if node is None or self._link is None:
            return b""
        self._requests += 1
        self._link.send(
            ToBridge(
                kind="read_log", node=node, path=path, attempt=str(attempt),
                offset_bytes=offset_bytes, limit_bytes=limit_bytes, request=self._requests,
            )
        )  # fmt: skip
        until_s = time.monotonic() + 1.0
        while self._requests not in self._logs and time.monotonic() < until_s:
            self._take_in(0.05)
        answer = self._logs.pop(self._requests, b"")
        self._logs.clear()
        return answer

    def close(self) -> None:
        """Leave the agents and their tasks to themselves."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def reattach_to_dismiss(self) -> None:
        """Connect once more, to agents as they are."""
        self._is_dismissing = True
        self.reattach([*self._where.items()])

    def dismiss(self, grace_s: float) -> None:
        """End all tasks, agents and actors."""
        until_s = time.monotonic() + grace_s + 5.0
        for name in self._nodes:
            self._send(name, Order(kind="leave", term=self.term, grace_s=grace_s))
        while any(node.is_open for node in self._nodes.values()) and time.monotonic() < until_s:
            self._take_in(0.1)
        # Left open a second longer, the bridge would make new actors on the nodes that it sees.
        self.close()
