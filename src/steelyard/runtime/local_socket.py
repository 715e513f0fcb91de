"""Unix sockets below any folder: the kernel allows 107 bytes of path, folders do not keep to that."""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

LIMIT_BYTES = 100


def listen_at(path: Path) -> socket.socket:
    """Listen at a path, for this user only; a dead predecessor's socket is replaced.

    The path is there once somebody listens. Its mode does not come from the umask, which is the whole
    process's: other threads make files meanwhile. Raises OSError with the path.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as private:
            hidden = Path(private) / "socket"
            _with_short_path(hidden, listener.bind)
            hidden.chmod(0o600)
            listener.listen(512)
            hidden.replace(path)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, str(path)) from None
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
