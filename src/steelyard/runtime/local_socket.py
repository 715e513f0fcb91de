"""Unix sockets below any folder: the kernel allows 107 bytes of path, folders do not keep to that."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

LIMIT_BYTES = 100


def listen_at(path: Path) -> socket.socket:
    """Listen at a path, for this user only; a dead predecessor's socket is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        _with_short_path(path, listener.bind)
        listener.listen(512)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def connect_to(path: Path, timeout_s: float) -> socket.socket:
    """Connect to a path. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        _with_short_path(path, connection.connect)
    except BaseException:
        connection.close()
        raise
    return connection


def _with_short_path(path: Path, use: Callable[[str], None]) -> None:
    if len(os.fsencode(path)) <= LIMIT_BYTES:
        use(str(path))
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        use(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
