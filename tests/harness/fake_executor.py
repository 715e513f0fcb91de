"""An executor without processes, whose nodes outlive the controller: tests say what happens on them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from steelyard.jobs.executor import Attempt, AttemptEvent, EventKind, Liveness, NodeReport, StartOrder
from steelyard.model.resources import Resources


@dataclass
class FakeNodes:
    """What is true on the nodes, whoever controls them.

    starts: every order that was obeyed, in order. running: attempt → node.
    slow_to_start: attempts on these nodes are accepted and never say that they started.
    silent: nodes that give no sign of life.
    """

    names: Sequence[str] = ("A", "B", "C")
    cores: float = 2.0
    starts: list[StartOrder] = field(default_factory=list)
    running: dict[Attempt, str] = field(default_factory=dict)
    ended: dict[Attempt, AttemptEvent] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    stops: list[Attempt] = field(default_factory=list)
    slow_to_start: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    heard_at_s: dict[str, float] = field(default_factory=dict)
    most_at_once: dict[str, int] = field(default_factory=dict)
    obey_stops: bool = True

    def finish(self, task_id: str, exit_code: int = 0, *, node_fault: bool = False, reason: str = "") -> None:
        """The task's attempt ends by itself."""
        attempt = next(each for each in self.running if each.task_id == task_id)
        self._end(attempt, exit_code, asked=False, node_fault=node_fault, reason=reason)

    def leave(self, attempt: Attempt) -> None:
        """An attempt follows the request to stop."""
        self._end(attempt, 0, asked=True)

    def _end(
        self, attempt: Attempt, exit_code: int, *, asked: bool, node_fault: bool = False, reason: str = ""
    ) -> None:
        self.ended[attempt] = AttemptEvent(
            attempt=attempt, kind=EventKind.ENDED, node_id=self.running.pop(attempt), exit_code=exit_code,
            asked_to_stop=asked, node_fault=node_fault, reason=reason,
        )  # fmt: skip

    def copies(self, task_id: str) -> int:
        """Attempts of a task that run now."""
        return sum(each.task_id == task_id for each in self.running)


class FakeExecutor:
    """One controller's connection to them."""

    name = "fake"

    def __init__(self, nodes: FakeNodes) -> None:
        self.world = nodes
        self._told: list[AttemptEvent] = []

    def nodes(self) -> Sequence[NodeReport]:
        """All of them."""
        now_s = time.monotonic()
        for name in self.world.names:
            if name not in self.world.silent:
                self.world.heard_at_s[name] = now_s
        capacity = Resources(cpu_cores=self.world.cores, memory_bytes=1e9)
        return [
            NodeReport(node_id=name, capacity=capacity, heard_at_s=self.world.heard_at_s.get(name, now_s))
            for name in self.world.names
        ]

    def reattach(self, live: Sequence[tuple[Attempt, str]]) -> None:
        """What is not to live, dies."""
        wanted = {attempt for attempt, _ in live}
        for attempt in [each for each in self.world.running if each not in wanted]:
            del self.world.running[attempt]
        self._told += [
            AttemptEvent(attempt=attempt, kind=EventKind.STARTED) for attempt in self.world.running
        ]

    def start(self, order: StartOrder) -> None:
        """Once an epoch."""
        attempt = order.attempt
        if attempt in self.world.running and order.node_id not in self.world.slow_to_start:
            self._told.append(AttemptEvent(attempt=attempt, kind=EventKind.STARTED))
        if attempt.epoch <= self.world.seen.get(attempt.task_id, 0):
            return
        self.world.seen[attempt.task_id] = attempt.epoch
        self.world.starts.append(order)
        self.world.running[attempt] = order.node_id
        most = max(self.world.most_at_once.get(attempt.task_id, 0), self.world.copies(attempt.task_id))
        self.world.most_at_once[attempt.task_id] = most
        if order.node_id not in self.world.slow_to_start:
            self._told.append(AttemptEvent(attempt=attempt, kind=EventKind.STARTED))

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Leaves at once, unless told otherwise."""
        self.world.stops.append(attempt)
        if attempt in self.world.running and self.world.obey_stops:
            self.world.leave(attempt)

    def poll(self) -> Sequence[AttemptEvent]:
        """Ends are told until acknowledged."""
        told, self._told = self._told, []
        return [*told, *self.world.ended.values()]

    def acknowledge(self, attempt: Attempt) -> None:
        """Forget an end."""
        self.world.ended.pop(attempt, None)

    def witness(self, node_id: str) -> Liveness:
        """A silent node is dead."""
        return Liveness.DEAD

    def fence(self, node_id: str) -> bool:
        """Nothing runs there any more."""
        for attempt in [each for each, node in self.world.running.items() if node == node_id]:
            del self.world.running[attempt]
        return True

    def read_log(self, attempt: Attempt, offset_bytes: int, limit_bytes: int) -> bytes:
        """Nothing is written."""
        return b""

    def close(self) -> None:
        """Nothing to close."""
