"""The agent of one local node: starts and ends attempts, measures, and outlives the controller.

`python -m steelyard.jobs.executors.node_agent FOLDER [PID...]`, with the declaration in FOLDER; where
processes are named, it ends all and leaves as soon as one of them is gone. One thread: a
selector over its socket, controllers, and a pipe that wakes it when a child ends. Orders are obeyed
by term (a former controller is told that it is fenced) and by epoch (a repeated order does nothing).
Ends are written down before they are told, and told until acknowledged.

When the agent dies its attempts die with it; a new agent of the node ends what is left of them and
tells them as lost. It leaves by itself when its folder is gone, or when it had neither a controller nor
an attempt for a while.
"""

import fcntl
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from steelyard.jobs.executors.attempt_process import become_reaper
from steelyard.jobs.executors.local_node import (
    DECLARATION_NAME,
    IDENTITY_NAME,
    SOCKET_NAME,
    Lines,
    LocalNode,
    Message,
    Order,
)
from steelyard.jobs.executors.node_attempts import NodeAttempts
from steelyard.jobs.executors.node_sampler import NodeSampler
from steelyard.runtime.atomic_file import write_atomically
from steelyard.runtime.local_socket import listen_at
from steelyard.runtime.process_identity import ProcessIdentity, identify

TICK_S = 0.5  # also the interval of signs of life
IDLE_LIMIT_S = 120.0
REPEAT_ENDS_S = 2.0
SEND_LIMIT_BYTES = 4 << 20  # a controller that reads nothing for so long is let go

_ORDER = msgspec.json.Decoder(Order)
_ENCODER = msgspec.json.Encoder()


class Controller:
    """A connection of one."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.lines = Lines()
        self.unsent = bytearray()
        self.term = 0


class Agent:
    """The loop."""

    def __init__(self, folder: Path, lives_with: Sequence[ProcessIdentity] = ()) -> None:
        self.folder = folder
        self.lives_with = lives_with
        node = msgspec.json.decode((folder / DECLARATION_NAME).read_bytes(), type=LocalNode)
        self.sampler = NodeSampler(node, folder)
        self.attempts = NodeAttempts(node, folder)
        self.selector = selectors.DefaultSelector()
        self.listener = listen_at(folder / SOCKET_NAME)
        self.listener.setblocking(False)
        self.controllers: list[Controller] = []
        self.term = 0
        self.leaving = False
        self.last_needed_s = time.monotonic()
        self.next_report_s = 0.0
        self.next_sample_s = 0.0
        self.next_repeat_s = 0.0

    def run(self) -> None:
        """Serve until there is no reason to."""
        wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 4096))
        while not (self.leaving and self.attempts.is_idle):
            for key, _ in self.selector.select(self._patience_s()):
                key.data()
            self._turn(time.monotonic())
        (self.folder / SOCKET_NAME).unlink(missing_ok=True)

    def _patience_s(self) -> float:
        return 0.02 if self.attempts.needs_attention else TICK_S

    def _turn(self, now_s: float) -> None:
        for event in self.attempts.turn(now_s):
            self._tell(Message(kind="event", event=event))
        if now_s >= self.next_sample_s:
            self.next_sample_s = now_s + self.sampler.interval_s
            telemetry = self.sampler.sample(self.attempts.group_ids())
            self.attempts.enforce_memory()
            self._tell(Message(kind="report", telemetry=telemetry, capacity=self.sampler.capacity))
        elif now_s >= self.next_report_s:
            self._tell(Message(kind="report"))
        if now_s >= self.next_report_s:
            self.next_report_s = now_s + TICK_S
            self._look_whether_needed(now_s)
        if now_s >= self.next_repeat_s:
            self.next_repeat_s = now_s + REPEAT_ENDS_S
            for event in self.attempts.unacknowledged():
                self._tell(Message(kind="event", event=event))
        for controller in [*self.controllers]:
            self._flush(controller)

    def _look_whether_needed(self, now_s: float) -> None:
        if not self.folder.exists() or not all(each.exists for each in self.lives_with):
            self.attempts.stop_all(0.0, now_s)
            self.leaving = True
        elif self.controllers or not self.attempts.is_idle:
            self.last_needed_s = now_s
        elif now_s - self.last_needed_s > IDLE_LIMIT_S:
            self.leaving = True

    # --- controllers --------------------------------------------------------------------------------------

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            connection, _ = self.listener.accept()
            connection.setblocking(False)
            controller = Controller(connection)
            self.controllers.append(controller)
            self.selector.register(connection, selectors.EVENT_READ, lambda: self._read(controller))

    def _read(self, controller: Controller) -> None:
        try:
            data = controller.connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(controller)
            return
        for line in controller.lines.feed(data):
            self._obey(controller, _ORDER.decode(line))

    def _drop(self, controller: Controller) -> None:
        if controller in self.controllers:
            self.controllers.remove(controller)
            self.selector.unregister(controller.connection)
            controller.connection.close()

    def _obey(self, controller: Controller, order: Order) -> None:
        if order.term < self.term:
            self._send(controller, Message(kind="fenced", term=self.term))
            return
        self.term = controller.term = order.term
        now_s = time.monotonic()
        if order.kind == "hello":
            # Orders that still sit in an earlier connection were given before this list was made.
            for other in [each for each in self.controllers if each is not controller]:
                self._drop(other)
            if order.live is not None:
                self.attempts.keep_only(order.live, now_s)
            running = self.attempts.known()
            self._send(
                controller,
                Message(kind="welcome", term=self.term, running=running, capacity=self.sampler.capacity),
            )
            for event in (*self.attempts.started(), *self.attempts.unacknowledged()):
                self._send(controller, Message(kind="event", event=event))
        elif order.kind == "start" and order.start is not None:
            became = self.attempts.start(order.start)
            if became is not None:
                self._tell(Message(kind="event", event=became))
        elif order.kind == "stop" and order.attempt is not None:
            self.attempts.stop(order.attempt, order.grace_s, now_s)
        elif order.kind == "acknowledge" and order.attempt is not None:
            self.attempts.acknowledge(order.attempt)
        elif order.kind == "leave":
            self.attempts.stop_all(order.grace_s, now_s)
            self.leaving = True

    def _tell(self, message: Message) -> None:
        for controller in [*self.controllers]:
            if controller.term == self.term:
                self._send(controller, message)

    def _send(self, controller: Controller, message: Message) -> None:
        controller.unsent += _ENCODER.encode(message) + b"\n"
        self._flush(controller)

    def _flush(self, controller: Controller) -> None:
        try:
            while controller.unsent:
                sent = controller.connection.send(controller.unsent)
                del controller.unsent[:sent]
        except BlockingIOError:
            if len(controller.unsent) > SEND_LIMIT_BYTES:
                self._drop(controller)
        except OSError:
            self._drop(controller)


def main() -> int:
    """Run the agent of a folder's node; 0 as well when another does."""
    folder = Path(sys.argv[1])
    # Held as long as the process lives: a node has one agent.
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    become_reaper()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # One that is gone already is as good as one that goes at once.
    lives_with = [identify(int(pid)) or ProcessIdentity(int(pid), 0) for pid in sys.argv[2:]]
    agent = Agent(folder, lives_with)
    identity = identify(os.getpid())
    write_atomically(folder / IDENTITY_NAME, msgspec.json.encode(identity))
    agent.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
