"""A connection to the agent of a local node: whole messages in, whole orders out, never waiting."""

import socket
from pathlib import Path

import msgspec

from steelyard.jobs.executors.local_node import SOCKET_NAME, Lines, Message, Order
from steelyard.runtime.local_socket import connect_to

_MESSAGE = msgspec.json.Decoder(Message)
_ENCODER = msgspec.json.Encoder()
SEND_TIMEOUT_S = 1.0  # an agent that reads nothing for so long is as good as gone


class AgentLink:
    """One open connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = Lines()
        self._is_open = True

    @classmethod
    def open(cls, folder: Path) -> "AgentLink | None":
        """Connect, if anybody listens."""
        try:
            return cls(connect_to(folder / SOCKET_NAME, SEND_TIMEOUT_S))
        except OSError:
            return None

    def send(self, order: Order) -> None:
        """Send; a failure shows at the next `receive`."""
        if self._is_open:
            try:
                self._connection.settimeout(SEND_TIMEOUT_S)
                self._connection.sendall(_ENCODER.encode(order) + b"\n")
            except OSError:
                self._is_open = False

    def receive(self) -> tuple[list[Message], bool]:
        """What has arrived, and whether there can be more."""
        messages: list[Message] = []
        try:
            self._connection.settimeout(0)
            while self._is_open:
                data = self._connection.recv(1 << 18)
                if not data:
                    self._is_open = False
                messages += [_MESSAGE.decode(line) for line in self._lines.feed(data)]
        except BlockingIOError:
            pass
        except OSError:
            self._is_open = False
        return messages, self._is_open

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
