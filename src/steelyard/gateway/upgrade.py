"""A new program takes over from a running one: its listening sockets, then its work.

The old supervisor starts the new one with its sockets inherited and named in the environment, waits until it
serves, and only then retires its own workers. If the new one does not come up, nothing has changed.
No connection is refused: the sockets are the same ones, with whoever waits in their queues.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from steelyard.model.errors import ConfigError

VARIABLE = "STEELYARD_INHERITED"
READY = b"ready\n"
START_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Inheritance:
    """What a supervisor took over: sockets by what they are for, and where to say that it serves.

    succeeds: it takes over from another.
    """

    listeners: list[socket.socket] = field(default_factory=list)
    admin: socket.socket | None = None
    ready_descriptor: int = -1
    succeeds: bool = False

    @classmethod
    def take(cls) -> "Inheritance":
        """Read it from the environment, once; empty in a first start. Raises ConfigError."""
        text = os.environ.pop(VARIABLE, "")
        taken = cls(succeeds=bool(text))
        if not text:
            return taken
        try:
            for part in text.split(";"):
                name, _, numbers = part.partition("=")
                descriptors = [int(number) for number in numbers.split(",") if number]
                if name == "listen":
                    taken.listeners = [socket.socket(fileno=number) for number in descriptors]
                elif name == "admin" and descriptors:
                    taken.admin = socket.socket(fileno=descriptors[0])
                elif name == "ready" and descriptors:
                    taken.ready_descriptor = descriptors[0]
        except (ValueError, OSError):
            raise ConfigError(
                f"{VARIABLE} is {text[:200]!r}: it is set by an upgrade only; unset it"
            ) from None
        for each in (*taken.listeners, *filter(None, (taken.admin,))):
            each.setblocking(False)
            each.set_inheritable(False)
        return taken

    def say_ready(self) -> None:
        """Tell the old supervisor that it may go."""
        if self.ready_descriptor >= 0:
            os.write(self.ready_descriptor, READY)
            os.close(self.ready_descriptor)
            self.ready_descriptor = -1

    def close_unused(self) -> None:
        """Sockets that the configuration has no use for."""
        for each in self.listeners:
            each.close()
        if self.admin is not None:
            self.admin.close()


def same_address(each: socket.socket, host: str, port: int) -> bool:
    """Whether a socket listens on an address; port 0 is any."""
    try:
        wanted = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
    except OSError:
        return False
    address = each.getsockname()
    return bool(address[0] == wanted[0] and port in (0, address[1]))


async def start_successor(listeners: Sequence[socket.socket], admin: socket.socket | None) -> int:
    """Start this program anew with our command line, and wait until it serves; its process id.

    Raises ConfigError, and leaves nothing behind, when it does not.
    """
    reading, writing = os.pipe()
    descriptors = [each.fileno() for each in listeners]
    inherited = "listen=" + ",".join(map(str, descriptors))
    if admin is not None:
        inherited += f";admin={admin.fileno()}"
        descriptors.append(admin.fileno())
    environment = os.environ | {VARIABLE: f"{inherited};ready={writing}"}
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "steelyard", *sys.argv[1:],
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(*descriptors, writing),
        )  # fmt: skip
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        if await _read(pipe.fileno()) == READY:
            return process.pid
    if process.returncode is None:
        process.kill()
    await process.wait()
    raise ConfigError("the new program did not come up: its error stands above; the old one serves on")


async def _read(descriptor: int) -> bytes:
    """What the successor says; b"" when it ends or is too late."""
    loop = asyncio.get_running_loop()
    said: asyncio.Future[bytes] = loop.create_future()
    os.set_blocking(descriptor, False)

    def readable() -> None:
        if not said.done():
            said.set_result(os.read(descriptor, 64))

    loop.add_reader(descriptor, readable)
    try:
        return await asyncio.wait_for(said, START_TIMEOUT_S)
    except TimeoutError:
        return b""
    finally:
        loop.remove_reader(descriptor)
