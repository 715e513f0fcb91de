"""Tasks as processes of this machine, on one node or on several named ones with limits of their own.

Each node has an agent, a process that outlives the controller (`node_agent`). This side finds or
starts the agents, speaks to them, and judges from the outside whether a silent one lives: a socket that
closed or a process that is gone says more than missing signs of life do.

A *former* node is one that an earlier service had and this one has not: tasks may still run there. Its agent
is spoken to until they have ended, then sent away.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec.structs import replace

from steelyard.jobs.executor import (
    Attempt,
    AttemptEvent,
    EventKind,
    ExecutorError,
    Liveness,
    NodeReport,
    StartOrder,
)
from steelyard.jobs.executors.agent_link import AgentLink
from steelyard.jobs.executors.attempt_process import NODE_MARK
from steelyard.jobs.executors.local_node import (
    AGENT_MODULE,
    DECLARATION_NAME,
    IDENTITY_NAME,
    LocalNode,
    Order,
)
from steelyard.model.resources import Resources
from steelyard.model.telemetry import NodeTelemetry
from steelyard.runtime.atomic_file import write_atomically
from steelyard.runtime.process_identity import ProcessIdentity, carrying, identify

CONNECT_TIMEOUT_S = 20.0
RECONNECT_S = 0.5
RESPAWN_DELAY_S = 5.0


class LocalExecutor:
    """See the module.

    folder: one folder a node is made below it.
    term: of this controller, from its journal.
    """

    name = "local"

    def __init__(
        self,
        folder: Path,
        nodes: Sequence[LocalNode],
        term: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder.resolve()
        self._clock = clock
        self._term = term
        self._nodes = {node.name: node for node in nodes}
        if len(self._nodes) != len(nodes):
            raise ExecutorError("two nodes have the same name: give each its own")
        self._former: set[str] = set()
        self._links: dict[str, AgentLink] = {}
        self._where: dict[Attempt, str] = {}
        self._events: list[AttemptEvent] = []
        self._heard_at_s = dict.fromkeys(self._nodes, clock())
        self._capacity = {name: node.capacity or Resources() for name, node in self._nodes.items()}
        self._telemetry: dict[str, NodeTelemetry] = {}
        self._died_at_s: dict[str, float] = {}
        self._next_try_s = 0.0
        self._children: list[int] = []
        self.fenced_by: int | None = None

    # --- the agents ---------------------------------------------------------------------------------------

    def _node_folder(self, name: str) -> Path:
        return self._folder / name

    def _spawn_agent(self, node: LocalNode) -> None:
        folder = self._node_folder(node.name)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / DECLARATION_NAME, msgspec.json.encode(node))
        with (folder / "agent.log").open("ab") as log, Path(os.devnull).open("rb") as nothing:
            # Its own session: the end of a terminal or of the controller is not its end. Not `subprocess`,
            # whose objects want to be waited for: an agent is to outlive us.
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-m", AGENT_MODULE, str(folder)],
                os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, nothing.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
                ],
                setsid=True,
            )
        self._children.append(pid)

    def _agent(self, name: str) -> ProcessIdentity | None:
        with suppress(OSError, msgspec.DecodeError):
            data = (self._node_folder(name) / IDENTITY_NAME).read_bytes()
            return msgspec.json.decode(data, type=ProcessIdentity)
        return None

    def reattach(self, live: Sequence[tuple[Attempt, str]]) -> None:
        """Find the agents, start those that are not there, and name what is to live."""
        self._where = dict(live)
        self._find_former()
        for node in self._nodes.values():
            agent = self._agent(node.name)
            if agent is None or not agent.exists:
                self._spawn_agent(node)
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        for name in self._nodes:
            while not self._connect(name) and time.monotonic() < deadline_s:
                time.sleep(0.02)
        if not self._links and self._nodes:
            raise ExecutorError(f"no agent answers below {self._folder}: see agent.log there")

    def _find_former(self) -> None:
        """Take up nodes that an earlier service left with tasks or with an agent that runs."""
        left = [
            folder.name
            for folder in self._folder.glob("*")
            if (each := self._agent(folder.name)) and each.exists
        ]
        for name in dict.fromkeys([*self._where.values(), *left]):
            if name in self._nodes:
                continue
            try:
                data = (self._node_folder(name) / DECLARATION_NAME).read_bytes()
                node = msgspec.json.decode(data, type=LocalNode)
            except (OSError, msgspec.DecodeError):
                continue  # nothing runs without a folder; the service finds that nobody knows the node
            self._nodes[name] = replace(node, respawn=True)
            self._capacity[name] = node.capacity or Resources()
            self._heard_at_s[name] = self._clock()
            self._former.add(name)

    def _let_former_go(self) -> None:
        """Send agents away that have no task of this service any more."""
        for name in self._former - set(self._where.values()):
            if name in self._links:
                self._send(name, Order(kind="leave", term=self._term))
                self._links.pop(name).close()
            else:
                self.fence(name)
            self._former.discard(name)
            for known in (self._nodes, self._capacity, self._heard_at_s, self._telemetry, self._died_at_s):
                known.pop(name, None)

    def _connect(self, name: str) -> bool:
        """Speak to a node's agent, if it listens."""
        if name in self._links:
            return True
        link = AgentLink.open(self._node_folder(name))
        if link is None:
            return False
        live = [attempt for attempt, node in self._where.items() if node == name]
        link.send(Order(kind="hello", term=self._term, live=live))
        self._links[name] = link
        self._heard_at_s[name] = self._clock()
        self._died_at_s.pop(name, None)
        return True

    def _reap(self) -> None:
        """Take note of agents of ours that ended."""
        for pid in [*self._children]:
            try:
                ended = os.waitpid(pid, os.WNOHANG)[0] == pid
            except ChildProcessError:
                ended = True
            if ended:
                self._children.remove(pid)

    def _reconnect(self, now_s: float) -> None:
        self._reap()
        for name, node in self._nodes.items():
            if name in self._links or self._connect(name):
                continue
            agent = self._agent(name)
            if agent is not None and agent.exists:
                continue
            died_at_s = self._died_at_s.setdefault(name, now_s)
            if node.respawn and now_s - died_at_s > RESPAWN_DELAY_S:
                self._died_at_s[name] = now_s
                self._spawn_agent(node)

    # --- the executor's calls -----------------------------------------------------------------------------

    def nodes(self) -> Sequence[NodeReport]:
        """All declared nodes."""
        return [
            NodeReport(
                node_id=name,
                capacity=self._capacity[name],
                heard_at_s=self._heard_at_s[name],
                labels=node.labels,
                telemetry=self._telemetry.get(name),
                spare=node.spare,
                is_former=name in self._former,
            )
            for name, node in self._nodes.items()
        ]

    def start(self, order: StartOrder) -> None:
        """Give the order to the node's agent."""
        if order.node_id not in self._nodes:
            self._events.append(
                AttemptEvent(
                    attempt=order.attempt, kind=EventKind.REFUSED, node_id=order.node_id,
                    reason=f"there is no node {order.node_id!r}",
                )
            )  # fmt: skip
            return
        self._where[order.attempt] = order.node_id
        self._send(order.node_id, Order(kind="start", term=self._term, start=order))

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Ask the agent that has it, or all where nobody knows."""
        node = self._where.get(attempt)
        for name in [node] if node is not None else [*self._links]:
            self._send(name, Order(kind="stop", term=self._term, attempt=attempt, grace_s=grace_s))

    def acknowledge(self, attempt: Attempt) -> None:
        """Let the agent forget an end."""
        node = self._where.pop(attempt, None)
        for name in [node] if node is not None else [*self._links]:
            self._send(name, Order(kind="acknowledge", term=self._term, attempt=attempt))

    def _send(self, name: str, order: Order) -> None:
        # What does not arrive is ordered again: the controller repeats what nobody confirmed.
        if name in self._links:
            self._links[name].send(order)

    def poll(self) -> Sequence[AttemptEvent]:
        """All that the agents said since the last call."""
        now_s = self._clock()
        for name, link in [*self._links.items()]:
            messages, is_open = link.receive()
            if messages:
                self._heard_at_s[name] = now_s
            for message in messages:
                if message.kind == "fenced":
                    self.fenced_by = message.term
                if message.event is not None:
                    self._events.append(message.event)
                if message.capacity is not None:
                    self._capacity[name] = message.capacity
                if message.telemetry is not None:
                    self._telemetry[name] = message.telemetry
            if not is_open:
                link.close()
                del self._links[name]
        self._let_former_go()
        if len(self._links) < len(self._nodes) and now_s >= self._next_try_s:
            self._next_try_s = now_s + RECONNECT_S
            self._reconnect(now_s)
        events, self._events = self._events, []
        return events

    def witness(self, node_id: str) -> Liveness:
        """Look for the agent's process. One that somebody stopped (SIGSTOP) is no good, but not dead."""
        agent = self._agent(node_id)
        if agent is None or not agent.exists:
            return Liveness.DEAD
        return Liveness.UNKNOWN if agent.is_stopped else Liveness.ALIVE

    def fence(self, node_id: str) -> bool:
        """End the agent and all that it started: on one machine that is always possible."""
        folder = str(self._node_folder(node_id))
        agent = self._agent(node_id)
        if agent is not None:
            agent.kill_group()
        link = self._links.pop(node_id, None)
        if link is not None:
            link.close()
        self._where = {attempt: node for attempt, node in self._where.items() if node != node_id}
        deadline_s = time.monotonic() + 2.0
        while time.monotonic() < deadline_s:
            left = [each for pid in carrying(NODE_MARK, folder) if (each := identify(pid)) and each.exists]
            if not left and (agent is None or not agent.exists):
                return True
            for each in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(each.pid, 9)
            time.sleep(0.01)
        return False

    def read_log(self, attempt: Attempt, offset_bytes: int, limit_bytes: int) -> bytes:
        """Logs are where the order said: the service reads them itself."""
        return b""

    def close(self) -> None:
        """Leave the agents and their tasks to themselves."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    def reattach_to_dismiss(self) -> None:
        """Connect once more, to agents as they are."""
        for name in self._nodes:
            link = AgentLink.open(self._node_folder(name))
            if link is not None:
                link.send(Order(kind="hello", term=self._term))
                self._links[name] = link

    def dismiss(self, grace_s: float) -> None:
        """End all tasks and agents; how they ended stays written in their folders."""
        for name in [*self._nodes]:
            self._send(name, Order(kind="leave", term=self._term, grace_s=grace_s))
        deadline_s = time.monotonic() + grace_s + 5.0
        for name in self._nodes:
            while (agent := self._agent(name)) and agent.exists and time.monotonic() < deadline_s:
                time.sleep(0.02)
            self.fence(name)
