"""The Date that an answer carries (RFC 9110 section 6.6.1): now, wherever an engine sent none."""

import time
from email.utils import formatdate
from functools import lru_cache


def date_line() -> bytes:
    """The field line of now, ending in CRLF. Written once a second, kept for the rest of it."""
    return _line(int(time.time()))


@lru_cache(maxsize=1)
def _line(now_s: int) -> bytes:
    return b"Date: %b\r\n" % formatdate(now_s, usegmt=True).encode()
