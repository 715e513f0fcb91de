"""The one actor a node: it starts the node's agent, passes orders and messages, and watches its own end.

Pinned to its node by hard affinity, never restarted by Ray. The agent lives exactly as long as this actor
and its raylet do, so whatever takes either of them takes all tasks of the node along, within a second.
The actor ends itself when neither a bridge has called for a while nor Ray's head can be reached: then the
node may be cut off, and others may already run its tasks. A bridge that is gone alone is no reason:
tasks outlive the controller.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from steelyard.jobs.executor import StartOrder
from steelyard.jobs.executors.local_node import AGENT_MODULE, DECLARATION_NAME, SOCKET_NAME, Lines
from steelyard.runtime.atomic_file import write_atomically
from steelyard.runtime.local_socket import connect_to
from steelyard.runtime.process_identity import identify

# With the time to look and to end all, below the 6 s after which the service takes a silent node for lost.
LEASE_S = 3.5
HEAD_TIMEOUT_S = 0.5
START_TIMEOUT_S = 20.0
FORGET_CALLER_S = 15.0


class _Caller:
    """One bridge's connection to the agent."""

    def __init__(self, folder: Path) -> None:
        self.connection = connect_to(folder / SOCKET_NAME, 1.0)
        self.lines = Lines()
        self.heard_at_s = time.monotonic()

    def exchange(self, orders: list[bytes], patience_s: float) -> list[bytes]:
        """Send, then wait for at least one message. Raises OSError when the agent hung up."""
        self.heard_at_s = time.monotonic()
        if orders:
            self.connection.settimeout(1.0)
            self.connection.sendall(b"".join(order + b"\n" for order in orders))
        self.connection.settimeout(patience_s)
        with suppress(TimeoutError, BlockingIOError):
            data = self.connection.recv(1 << 18)
            if not data:
                raise ConnectionResetError("the agent hung up")
            return self.lines.feed(data)
        return []


class RayNode:
    """See the module. Made into an actor by the bridge; several threads call it."""

    def __init__(self, folder: str, declaration: bytes, head: str) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._head = head
        self._callers: dict[str, _Caller] = {}
        self._heard_at_s = time.monotonic()
        write_atomically(self._folder / DECLARATION_NAME, declaration)
        raylet = identify(os.getppid())
        with (self._folder / "agent.log").open("ab") as log:
            self._agent = subprocess.Popen(
                [sys.executable, "-m", AGENT_MODULE, str(self._folder), str(os.getpid()), str(os.getppid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until_s = time.monotonic() + START_TIMEOUT_S
        while not (self._folder / SOCKET_NAME).exists():
            if self._agent.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(f"the agent did not start: see {self._folder}/agent.log")
            time.sleep(0.02)
        threading.Thread(target=self._watch, args=(raylet,), daemon=True).start()

    def exchange(self, caller: str, orders: list[bytes], patience_s: float) -> list[bytes]:
        """Orders to the agent, its messages back, for one bridge, which calls again and again.

        The first call of a bridge opens its connection. Raises OSError when the agent is gone.
        """
        self._heard_at_s = time.monotonic()
        found = self._callers.get(caller)
        if found is None:
            found = self._callers[caller] = _Caller(self._folder)
        for name, other in [*self._callers.items()]:
            if self._heard_at_s - other.heard_at_s > FORGET_CALLER_S and other is not found:
                self._callers.pop(name).connection.close()
        try:
            return found.exchange(orders, patience_s)
        except OSError:
            self._callers.pop(caller, None)  # half an order may have been sent: the next call starts anew
            raise

    def read_log(self, path: str, attempt: str, offset_bytes: int, limit_bytes: int) -> bytes:
        """A piece of an attempt's output; empty at its end, and when nobody knows where it is.

        path: "" to look it up in the order, which is there until the attempt's end is acknowledged.
        """
        with suppress(OSError, msgspec.DecodeError):
            if not path:
                order = (self._folder / "attempts" / attempt / "order").read_bytes()
                path = msgspec.json.decode(order, type=StartOrder).log_path
            with Path(path).open("rb") as file:
                file.seek(offset_bytes)
                return file.read(limit_bytes)
        return b""

    def _watch(self, raylet: object) -> None:
        while self._agent.poll() is None:
            time.sleep(0.5)
            if identify(os.getppid()) != raylet:
                break
            if time.monotonic() - self._heard_at_s > LEASE_S and not answers(self._head, HEAD_TIMEOUT_S):
                break
        os._exit(1)


def answers(address: str, timeout_s: float) -> bool:
    """Whether anything accepts connections there. A busy process counts: its kernel answers for it."""
    return _refusal(address, timeout_s) is None


def refuses(address: str, timeout_s: float) -> bool:
    """Whether the machine is there and says that nobody listens: proof, unlike mere silence."""
    return isinstance(_refusal(address, timeout_s), ConnectionRefusedError)


def _refusal(address: str, timeout_s: float) -> OSError | None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout_s).close()
    except OSError as error:
        return error
    return None
