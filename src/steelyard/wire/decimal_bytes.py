"""Whole numbers as decimal bytes, for field lines: small ones are kept written."""

from typing import Final

KEPT: Final = 4096
_WRITTEN: Final[list[bytes]] = [b"%d" % number for number in range(KEPT)]


def decimal(number: int) -> bytes:
    """A number, 0 or more, in digits."""
    return _WRITTEN[number] if number < KEPT else b"%d" % number
