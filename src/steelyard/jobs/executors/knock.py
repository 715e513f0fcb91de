"""Whether somebody listens at many addresses, asked at once: the cheapest sign of life of a daemon."""

import errno
import selectors
import socket
import time
from collections.abc import Iterable

LIMIT = 500  # sockets open at a time


def answering(places: Iterable[tuple[str, int]], timeout_s: float) -> set[tuple[str, int]]:
    """Those that accepted a connection in time. Names are looked up first, which may block."""
    wanted, found = [*places], set()
    for first in range(0, len(wanted), LIMIT):
        found |= _answering(wanted[first : first + LIMIT], timeout_s)
    return found


def _answering(places: list[tuple[str, int]], timeout_s: float) -> set[tuple[str, int]]:
    found = set()
    with selectors.DefaultSelector() as selector:
        for place in places:
            connection = _begin(place)
            if connection is not None:
                selector.register(connection, selectors.EVENT_WRITE, place)
        until_s = time.monotonic() + timeout_s
        while selector.get_map() and (left_s := until_s - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                selector.unregister(key.fileobj)
                with key.fileobj as connection:  # type: ignore[union-attr]  # the socket that was registered
                    if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                        found.add(key.data)
        for key in [*selector.get_map().values()]:
            key.fileobj.close()  # type: ignore[union-attr]  # the socket that was registered
    return found


def _begin(place: tuple[str, int]) -> socket.socket | None:
    """A connection under way; None where it failed at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)[0]
        connection = socket.socket(family, kind, protocol)
    except OSError:
        return None
    connection.setblocking(False)
    if connection.connect_ex(address) not in (0, errno.EINPROGRESS):
        connection.close()
        return None
    return connection
