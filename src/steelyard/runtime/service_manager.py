"""What a service manager is told (sd_notify, systemd's readiness protocol): one datagram a message.

Nothing is sent, and nothing fails, where no service manager listens.
"""

import contextlib
import os
import socket
import time

VARIABLE = "NOTIFY_SOCKET"


def notify(*lines: str) -> None:
    """Send assignments such as `READY=1`. A name that begins with `@` is an abstract socket."""
    name = os.environ.get(VARIABLE, "")
    if not name.startswith(("/", "@")):
        return
    address = "\0" + name[1:] if name[0] == "@" else name
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        channel.sendto("\n".join(lines).encode(), address)


def ready() -> None:
    """It serves, for the first time or again."""
    notify("READY=1")


def reloading() -> None:
    """It takes up a new configuration; `ready` follows, however that ends."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def succeeded_by(process_id: int) -> None:
    """Another process is the service from now on; only the one that was may say so."""
    notify(f"MAINPID={process_id}", "READY=1")


def stopping() -> None:
    """It is about to end."""
    notify("STOPPING=1")
