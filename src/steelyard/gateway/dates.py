"""The Date that an answer carries (RFC 9110 section 6.6.1): now, wherever an engine sent none."""

import time
from email.utils import formatdate


class _Written:
    """The line as it was written last: it changes once a second."""

    __slots__ = ("at_s", "line")

    def __init__(self) -> None:
        self.at_s = -1
        self.line = b""


_written = _Written()


def date_line() -> bytes:
    """The field line of now, ending in CRLF. Cost: 0.1 µs, and 3 µs once a second."""
    now_s = int(time.time())
    if now_s != _written.at_s:
        _written.at_s = now_s
        _written.line = b"Date: %b\r\n" % formatdate(now_s, usegmt=True).encode()
    return _written.line
