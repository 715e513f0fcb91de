"""Heads that were read before are not read again.

A client that keeps its connection sends one head over and over; only the length of the body differs. So
what a head meant is kept under its bytes without the digits of `Content-Length`, and those digits,
checked anew each time, are handed back beside it. Strictness is not weakened: an entry is made only by a
full parse of the same bytes, and only when the digits left out are exactly the value of the one
Content-Length field. The map is bounded (`MAX_KEPT` heads of at most `MAX_KEPT_BYTES`) and emptied when it
is full.

Cost: 0.3 µs for a connection's last head, 0.8 µs for another that was seen, 7 to 9 µs to parse a new one.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from steelyard.wire.decimal_bytes import MAX_DIGITS, digits_from

MAX_KEPT: Final = 1024
MAX_KEPT_BYTES: Final = 4096

_MARK: Final = b"ength: "  # the end of Content-Length's name, in the letters that clients and engines use
_HEAD_END: Final = b"\r\n\r\n"
_NAME: Final = b"\r\ncontent-length: "
# Slices here never end before they start: in Python those are empty, compiled by mypyc they are an error.

Meaning = TypeVar("Meaning")


class HeadMemo(Generic[Meaning]):
    """What heads meant, by their bytes.

    parse: reads a whole head, from its first byte to its empty line: (meaning, length of the body or -1). It
        raises for a head that is refused; nothing is kept then.
    """

    __slots__ = ("_kept", "_parse")

    def __init__(self, parse: Callable[[bytes], tuple[Meaning, int]]) -> None:
        self._parse = parse
        self._kept: dict[bytes, tuple[Meaning, int]] = {}

    def read(self, data: bytes, end: int) -> tuple[Meaning, int]:
        """(meaning, length of the body, -1 for none given) of the head that `data` begins with.

        end: where the head's closing CRLFCRLF starts.
        """
        start = data.find(_MARK, 0, end)
        if start < 0:
            key = data[:end]
            known = self._kept.get(key)
            return known if known is not None else self._read_new(data, end, key, fits=True)
        start += 7
        stop = data.find(b"\r", start, end + 1)
        digits = data[start:stop]
        key = data[:start] + data[stop:end]
        known = self._kept.get(key)
        if known is not None and digits.isdigit() and len(digits) <= MAX_DIGITS:
            return known[0], int(digits)
        fits = start >= len(_NAME) and data[start - len(_NAME) : start].lower() == _NAME
        return self._read_new(data, end, key, fits=fits)

    def _read_new(self, data: bytes, end: int, key: bytes, *, fits: bool) -> tuple[Meaning, int]:
        """Parse a head that is not known; keep it when its key says all that matters of it."""
        found = self._parse(data[: end + 4])
        if fits and end <= MAX_KEPT_BYTES:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found

    def __len__(self) -> int:
        return len(self._kept)


class HeadReader(Generic[Meaning]):
    """Reads the heads of one connection; the one that it read last costs two comparisons.

    length: of the body of the head read last, -1 when none was given. body_at: where its body starts.
    """

    __slots__ = ("_max_bytes", "_meaning", "_memo", "_rest", "_start", "body_at", "length")

    def __init__(self, memo: HeadMemo[Meaning], max_bytes: int) -> None:
        self._memo = memo
        self._max_bytes = max_bytes
        self._start = b""  # the last head up to the digits of its length, or all of it
        self._rest = b""  # what came behind the digits, to the end of the head; empty when there were none
        self._meaning: Meaning | None = None
        self.length = -1
        self.body_at = 0

    def read(self, data: bytes) -> Meaning | None:
        """The meaning of the head that `data` begins with; None while it has no end yet, or has it too late.

        Raises what the parse raises.
        """
        start = self._start
        if start and data.startswith(start):
            at = len(start)
            rest = self._rest
            if not rest:
                self.length, self.body_at = -1, at
                return self._meaning
            length, stop = digits_from(data, at)
            if length >= 0 and data.startswith(rest, stop):
                self.length, self.body_at = length, stop + len(rest)
                return self._meaning
        end = data.find(_HEAD_END)
        if end < 0 or end > self._max_bytes:
            return None
        meaning, length = self._memo.read(data, end)
        self._remember(data, end, meaning, length)
        self.length, self.body_at = length, end + 4
        return meaning

    def forget(self) -> None:
        """Let the last head go: a connection that idles has no use for it."""
        self._start = self._rest = b""
        self._meaning = None

    def _remember(self, data: bytes, end: int, meaning: Meaning, length: int) -> None:
        at = data.find(_MARK, 0, end) + len(_MARK)
        self.forget()
        if end > MAX_KEPT_BYTES:
            return
        self._meaning = meaning
        if length < 0:
            self._start = data[: end + 4]
        elif at >= len(_NAME) and data[at - len(_NAME) : at].lower() == _NAME:
            self._start, self._rest = data[:at], data[data.find(b"\r", at) : end + 4]


def without_empty_lines(data: bytes) -> bytes:
    """What follows the empty lines before a request, which are ignored (RFC 9112 section 2.2)."""
    at = 0
    while data.startswith(b"\r\n", at):
        at += 2
    return data[at:]
