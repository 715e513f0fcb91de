"""Listening sockets: several on one address (`SO_REUSEPORT`: the kernel spreads connections over them).

The supervisor keeps them open for as long as it lives, whoever serves them: what waits in the queue of
a worker that died or was replaced is served by its successor.
"""

import socket

from steelyard.model.errors import ConfigError

BACKLOG = 4096


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` sockets on one address; port 0 takes a free one. Raises ConfigError when the address is
    taken.
    """
    # Without SO_REUSEPORT first: another program that set it would share its port with us in silence.
    try:
        with socket.socket(_family(host), socket.SOCK_STREAM) as guard:
            guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            guard.bind((host, port))
            port = guard.getsockname()[1]
            if count:
                guard.listen(1)
    except OSError as error:
        raise _taken(host, port, error) from None
    return listen_beside(host, port, count)


def listen_beside(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` more sockets on an address where we listen already. Raises ConfigError."""
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            each = socket.socket(_family(host), socket.SOCK_STREAM)
            sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind((host, port))
            each.listen(BACKLOG)
            each.setblocking(False)
    except OSError as error:
        for each in sockets:
            each.close()
        raise _taken(host, port, error) from None
    return sockets


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _taken(host: str, port: int, error: OSError) -> ConfigError:
    reason = error.strerror or str(error)
    return ConfigError(f"cannot listen on {host}:{port}: {reason}: choose another port, or end its user")
