"""Whole numbers as decimal bytes: written, small ones from a table, and read."""

from typing import Final

KEPT: Final = 4096
MAX_DIGITS: Final = 15
_WRITTEN: Final[list[bytes]] = [b"%d" % number for number in range(KEPT)]


def decimal(number: int) -> bytes:
    """A number, 0 or more, in digits."""
    return _WRITTEN[number] if number < KEPT else b"%d" % number


def digits_from(data: bytes, start: int) -> tuple[int, int]:
    """(the number that begins at `start`, where it ends); -1 for no digit, or more than `MAX_DIGITS`."""
    number, at, end = 0, start, min(len(data), start + MAX_DIGITS + 1)
    while at < end:
        digit = data[at] - 48
        if digit < 0 or digit > 9:
            break
        number = number * 10 + digit
        at += 1
    return (number if start < at <= start + MAX_DIGITS else -1), at
