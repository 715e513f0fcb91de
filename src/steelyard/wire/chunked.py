"""The chunked transfer coding (RFC 9112 section 7.1), strict and incremental.

An engine's stream comes as one chunk an event, one event a read: that case costs two comparisons.
Everything else takes the slow way through a buffer. Trailers are read and dropped. Sizes are plain
hexadecimal digits: no sign, no blank, no 0x (CVE-2023-38697). Extensions are dropped; one that is not of the
standard's form is refused, since readers differ on where it ends.
"""

import re
from typing import Final

MAX_SIZE_DIGITS: Final = 15
MAX_LINE_BYTES: Final = 4096
MAX_TRAILER_BYTES: Final = 8192
MAX_EXTENSION_BYTES: Final = 16_384  # beyond as much as the payload has: extensions alone are no upload

# Bytes that may stand in a line: visible ASCII, blank, tab, and obs-text; and in the name of a field.
_IN_LINES: Final = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
_TOKEN: Final = b"!#$%&'*+-.^_`|~" + bytes([*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B)])
_HEX: Final = b"0123456789abcdefABCDEF"
# *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS ( token / quoted-string ) ] )
_EXTENSIONS: Final = re.compile(
    rb"""(?:[ \t]*;[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+"""
    rb"""(?:[ \t]*=[ \t]*(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|"(?:[^"\\]|\\.)*"))?)*"""
)
LAST_CHUNK: Final = b"0\r\n\r\n"
_COMMON_BYTES: Final = 2048  # chunks up to this size, framing included, are told by a table


def _only_beginning(whole_bytes: int) -> bytes:
    """How a chunk that is so long, framing included, begins as `chunk` writes it; b"" if there is none."""
    for digits in range(1, MAX_SIZE_DIGITS + 1):
        size = whole_bytes - digits - 4
        if size > 0 and len(b"%x" % size) == digits:
            return b"%x\r\n" % size
    return b""


_BEGINNINGS: Final = [_only_beginning(whole_bytes) for whole_bytes in range(_COMMON_BYTES)]


class MalformedChunk(ValueError):
    """A chunk that breaks the coding: the message cannot be trusted from here on."""


def chunk(payload: bytes) -> bytes:
    """Frame one payload, which must not be empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def _parse_size(line: bytes) -> tuple[int, int]:
    """(bytes of the chunk, bytes of its extensions) of a chunk's first line."""
    size, semicolon, _ = line.partition(b";")
    if semicolon:
        size = size.rstrip(b" \t")
        if _EXTENSIONS.fullmatch(line, len(size)) is None:
            raise MalformedChunk("a chunk extension is not a name with or without a value")
    if not size or len(size) > MAX_SIZE_DIGITS or size.translate(None, _HEX):
        raise MalformedChunk(f"a chunk size is {size[:20]!r}, not hexadecimal digits")
    return int(size, 16), len(line) - len(size)


class ChunkedReader:
    """Feed it bytes; it returns payload and knows when the message ended.

    done: the last chunk and its trailers have been read.
    rest: bytes after the message; only when done.
    """

    __slots__ = ("_buffer", "_extension_bytes", "_in_trailers", "_left", "_trailer_bytes", "done", "rest")

    def __init__(self) -> None:
        self._buffer = b""
        self._left = (
            -1
        )  # bytes of the current chunk still to come, its line end included; -1: a size comes next
        self._in_trailers = False
        self._trailer_bytes = self._extension_bytes = 0
        self.done = False
        self.rest = b""

    @property
    def announced(self) -> int:
        """Bytes that the size of the current chunk says are still to come."""
        return max(0, self._left - 2)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return the payload that they complete, in order.

        Raises MalformedChunk.
        """
        start = self.whole(data)
        if start:
            return data[start:-2]
        return self._feed_slowly(self._buffer + data if self._buffer else data)

    def whole(self, data: bytes) -> int:
        """Where the payload starts, when `data` is exactly one chunk as `chunk` would write it; else 0.

        Such a chunk may be passed on as it is, and needs no `feed`.
        """
        if self._left >= 0 or self._buffer or self._in_trailers:
            return 0
        # Compared with the one beginning that it can have: no digits to check, no other spelling let through.
        length = len(data)
        beginning = _BEGINNINGS[length] if length < _COMMON_BYTES else _only_beginning(length)
        if beginning and data.startswith(beginning) and data.endswith(b"\r\n"):
            return len(beginning)
        return 0

    def _feed_slowly(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        at = 0
        while not self.done:
            if self._left >= 0:
                at = self._take_chunk(data, at, pieces)
                if self._left >= 0:
                    break
                continue
            end = data.find(b"\n", at)
            if end < 0:
                if len(data) - at > MAX_LINE_BYTES + 1:  # the one may be the CR of its end
                    raise MalformedChunk(f"a chunk line is longer than {MAX_LINE_BYTES} bytes")
                break
            if end == at or data[end - 1] != 0x0D:
                raise MalformedChunk("a line of the chunked coding ends in a bare LF")
            line = data[at : end - 1]
            at = end + 1
            self._take_line(line)
        if self.done:
            self.rest, self._buffer = data[at:], b""
        else:
            self._buffer = data[at:]
        return b"".join(pieces)

    def _take_chunk(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take what `data` holds of the current chunk; return where the next thing starts."""
        payload_left = self._left - 2
        if payload_left > 0:
            piece = data[at : at + payload_left]
            if piece:
                pieces.append(piece)
            self._left -= len(piece)
            at += len(piece)
            payload_left = self._left - 2
        if payload_left == 0 and at < len(data):
            end = data[at : at + 2]
            if not b"\r\n".startswith(end):
                raise MalformedChunk("a chunk is longer than its size says")
            if len(end) == 2:
                self._left = -1
                at += 2
        return at

    def _take_line(self, line: bytes) -> None:
        if len(line) > MAX_LINE_BYTES:
            raise MalformedChunk(f"a chunk line is longer than {MAX_LINE_BYTES} bytes")
        if line.translate(None, _IN_LINES):
            raise MalformedChunk("a control byte stands in a line of the chunked coding")
        if self._in_trailers:
            self._trailer_bytes += len(line) + 2
            if self._trailer_bytes > MAX_TRAILER_BYTES:
                raise MalformedChunk(f"trailers are longer than {MAX_TRAILER_BYTES} bytes")
            name, colon, _ = line.partition(b":")
            if line and (not colon or not name or name.translate(None, _TOKEN)):
                raise MalformedChunk("a trailer is not a field")
            self.done = not line
            return
        size, extension_bytes = _parse_size(line)
        self._extension_bytes += extension_bytes - size if extension_bytes else 0
        if self._extension_bytes > MAX_EXTENSION_BYTES:
            raise MalformedChunk("chunk extensions are longer than what they belong to")
        if size == 0:
            self._in_trailers = True
        else:
            self._left = size + 2
