"""Nodes of a simulated cluster: agents that keep the executor's four rules, on clocks of their own.

An agent asks for its lease with each sign of life and counts it from when it asked, so that it has ended
its tasks by the time the controller may think so, whatever messages were lost or late.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

LEASE_S = 6.0
BEAT_S = 1.0

Attempt = tuple[str, int]


class Message(NamedTuple):
    """What an agent says: it is "alive" and asks for its lease, or what became of an attempt."""

    kind: str
    task_id: str = ""
    epoch: int = 0
    exit_code: int = 0
    asked_to_stop: bool = False
    sent_s: float = 0.0


Tell = Callable[[Message], None]


@dataclass(slots=True)
class Running:
    """One simulated process."""

    ends_s: float
    exit_code: int
    stopping: bool = False
    told_at_s: float = -10.0


class Violation(Exception):
    """A promise was broken."""


@dataclass(slots=True)
class Agent:
    """One node.

    seen, ended: on its disk, so they outlive it; running: gone when it dies.
    """

    node_id: str
    rng: Random
    world: dict[str, tuple[str, int]]
    started: dict[Attempt, str]
    finished: dict[str, int]
    alive: bool = True
    lease_until_s: float = 0.0
    beaten_s: float = -BEAT_S
    seen: dict[str, int] = field(default_factory=dict)
    ended: dict[Attempt, Message] = field(default_factory=dict)
    running: dict[Attempt, Running] = field(default_factory=dict)
    interrupted: list[Attempt] = field(default_factory=list)
    session: int = 0

    def die(self) -> None:
        """The machine is gone, with all that ran."""
        self.alive = False
        self.interrupted += self.running
        for attempt in [*self.running]:
            self._leave(attempt)

    def come_back(self, now_s: float) -> None:
        """It starts anew, with its disk: what ran when it died is lost."""
        self.alive = True
        self.lease_until_s = now_s
        for task_id, epoch in self.interrupted:
            self.ended[task_id, epoch] = Message("lost", task_id, epoch)
        self.interrupted.clear()

    def _leave(self, attempt: Attempt) -> None:
        del self.running[attempt]
        if self.world.get(attempt[0]) == (self.node_id, attempt[1]):
            del self.world[attempt[0]]

    def start(self, session: int, task_id: str, epoch: int, takes_s: float, code: int, now_s: float) -> None:
        """An order to start."""
        if not self._obeys(session) or now_s >= self.lease_until_s:
            return
        if epoch <= self.seen.get(task_id, 0):
            return
        if (task_id, epoch) in self.started:
            raise Violation(f"attempt {task_id}@{epoch} started twice")
        if task_id in self.world:
            raise Violation(
                f"task {task_id} runs twice: epoch {epoch} starts on {self.node_id}, "
                f"{self.world[task_id]} runs"
            )
        self.seen[task_id] = epoch
        self.started[task_id, epoch] = self.node_id
        self.running[task_id, epoch] = Running(now_s + takes_s, code)
        self.world[task_id] = (self.node_id, epoch)

    def stop(self, session: int, task_id: str, epoch: int, grace_s: float, now_s: float) -> None:
        """An order to stop; one for an attempt that never came forbids it."""
        if not self._obeys(session):
            return
        process = self.running.get((task_id, epoch))
        if process is not None:
            if not process.stopping:
                process.stopping = True
                process.ends_s = min(process.ends_s, now_s + self.rng.random() * min(grace_s, 2.0))
        elif epoch > self.seen.get(task_id, 0):
            self.seen[task_id] = epoch
            self.ended[task_id, epoch] = Message("refused", task_id, epoch)

    def acknowledge(self, session: int, task_id: str, epoch: int) -> None:
        """An end is recorded."""
        if self._obeys(session):
            self.ended.pop((task_id, epoch), None)

    def hello(self, session: int, live: dict[Attempt, None]) -> None:
        """A controller has come: what it does not know must not live, what it waits for must be answered."""
        if not self.alive or session < self.session:
            return
        self.session = session
        for attempt in [*self.running]:
            if attempt not in live:
                self._leave(attempt)
        for attempt in [*self.ended]:
            if attempt not in live:
                del self.ended[attempt]
        for task_id, epoch in live:
            if (task_id, epoch) not in self.running and (task_id, epoch) not in self.ended:
                self.seen[task_id] = max(epoch, self.seen.get(task_id, 0))
                self.ended[task_id, epoch] = Message("lost", task_id, epoch)

    def _obeys(self, session: int) -> bool:
        """Orders of a former controller, or of a connection before the last hello, are none."""
        return self.alive and session == self.session

    def grant(self, asked_s: float) -> None:
        """The lease that was asked for then."""
        if self.alive:
            self.lease_until_s = max(self.lease_until_s, asked_s + LEASE_S)

    def turn(self, now_s: float, tell: Tell) -> None:
        """Ends of processes, the end of the lease, and what there is to tell."""
        if not self.alive:
            return
        for (task_id, epoch), process in [*self.running.items()]:
            if process.ends_s <= now_s:
                by_itself = not process.stopping
                if by_itself and process.exit_code == 0:
                    self.finished[task_id] = self.finished.get(task_id, 0) + 1
                code = process.exit_code if by_itself else 0
                self.ended[task_id, epoch] = Message("ended", task_id, epoch, code, process.stopping)
                self._leave((task_id, epoch))
        if now_s >= self.lease_until_s:
            for task_id, epoch in [*self.running]:
                self._leave((task_id, epoch))
                self.ended[task_id, epoch] = Message("lost", task_id, epoch)
        if now_s - self.beaten_s >= BEAT_S:
            self.beaten_s = now_s
            tell(Message("alive", sent_s=now_s))
        for (task_id, epoch), process in self.running.items():
            # Not only once, since it may be lost; not always, since it seldom is.
            if process.told_at_s + 1.5 <= now_s:
                process.told_at_s = now_s
                tell(Message("started", task_id, epoch))
        for message in self.ended.values():
            tell(message)
