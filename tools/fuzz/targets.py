"""What is fuzzed: each target takes bytes and raises only when it has found a fault.

A reader may refuse what it likes, by its own error. It may not raise anything else, must read the same
however its input is cut into pieces, and what it lets through must be what the next reader may rely on.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

from steelyard.config.load import load_file
from steelyard.model.errors import BadRequest, ConfigError, UpstreamError
from steelyard.routing.stream_keeper import StreamBroken, StreamKeeper
from steelyard.wire.chunked import ChunkedReader, MalformedChunk
from steelyard.wire.http1_head import (
    Head,
    check_unfinished,
    check_unfinished_answer,
    parse_request_head,
    parse_response_head,
)
from steelyard.wire.sse import EventTooLong, SseSplitter, event_data

Target = Callable[[bytes], None]
SINGLE_EVERY = 16  # inputs of which one is read byte by byte as well: that costs more than all the rest


class FoundFault(AssertionError):
    """A property that must hold does not."""


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise FoundFault(what)


def _check_head(head: Head) -> None:
    written = b"".join(head.lines)
    line_ends = written.count(b"\r\n")
    _require(
        written.count(b"\n") == written.count(b"\r") == line_ends == len(head.lines), "a line end travels on"
    )
    _require(b"\0" not in written, "a NUL travels on")
    _require(not (head.chunked and head.content_length >= 0), "two framings")
    _require(all(line.partition(b":")[0].strip() for line in head.lines), "a field without a name travels on")


def request_head(data: bytes) -> None:
    """A client's head."""
    try:
        head = parse_request_head(data)
    except BadRequest as error:
        _require(400 <= error.http_status < 600 and bool(str(error)), "a refusal without a status")
        return
    _check_head(head)
    _require(head.target.isascii() and b" " not in head.target, "a strange target")
    _require(head.target.startswith(b"/") or head.target == b"*", "a target that is no path")
    _check_delivery(data)


def _check_delivery(data: bytes) -> None:
    """A good head is not refused before its end, in whatever pieces it comes."""
    seen = 0
    piece = 1 if _is_read_singly(data) else len(data) // 3
    for end in range(piece, len(data), piece):
        try:
            check_unfinished(data[:end], seen)
        except BadRequest as error:
            raise FoundFault(f"a good head is refused after {end} bytes: {error}") from None
        seen = end


def response_head(data: bytes) -> None:
    """An engine's head."""
    try:
        head = parse_response_head(data)
    except UpstreamError:
        return
    _check_head(head)
    _require(100 <= head.status < 600, "a status that is none")
    piece = 1 if _is_read_singly(data) else max(1, len(data) // 3)
    for end in range(piece, len(data), piece):
        try:
            check_unfinished_answer(data[:end])
        except UpstreamError as error:
            raise FoundFault(f"a good head is refused after {end} bytes: {error}") from None


def _is_read_singly(data: bytes) -> bool:
    return len(data) <= 256 and zlib.crc32(data) % SINGLE_EVERY == 0


def _read_chunks(pieces: list[bytes]) -> tuple[bytes, bool, bytes] | None:
    """(payload, whether it ended, what is left); None when it is malformed."""
    reader, payload, rest = ChunkedReader(), b"", b""
    try:
        for piece in pieces:
            if reader.done:
                rest += piece
                continue
            payload += reader.feed(piece)
            rest = reader.rest
    except MalformedChunk:
        return None
    return payload, reader.done, rest


def chunked_body(data: bytes) -> None:
    """A chunked body: whole, in two pieces and byte by byte it is the same."""
    whole = _read_chunks([data])
    middle = len(data) // 2
    _require(_read_chunks([data[:middle], data[middle:]]) == whole, "cut in two it reads differently")
    if _is_read_singly(data):
        single = _read_chunks([bytes([byte]) for byte in data])
        _require(single == whole, "byte by byte it reads differently")


def _read_events(pieces: list[bytes]) -> list[bytes] | None:
    splitter, found = SseSplitter(limit_bytes=1 << 16), []
    try:
        for piece in pieces:
            found += [data for each in splitter.feed(piece) if (data := event_data(each)) is not None]
    except EventTooLong:
        return None
    return [*found, b"torn"] if splitter.torn else found


def event_stream(data: bytes) -> None:
    """A stream of events: whole and in pieces it is the same, and keeping it alive never fails."""
    middle = len(data) // 3
    whole = _read_events([data])
    _require(_read_events([data[:middle], data[middle:]]) == whole, "cut in two it reads differently")
    if _is_read_singly(data):
        _require(_read_events([bytes([byte]) for byte in data]) == whole, "byte by byte it reads differently")
    keeper = StreamKeeper(b'{"messages":[{"role":"user","content":"x"}],"max_tokens":9}', chat=True)
    for piece in (data[:middle], data[middle:]):
        try:
            keeper.feed(piece)
        except StreamBroken:
            pass
        keeper.go_on(engine="vllm" if len(data) % 2 else "")
        keeper.opening()
    try:
        keeper.complete()
    except StreamBroken:
        pass


class _InMemory:
    """A file that is none: writing a real one took nine tenths of the time."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_text(self, encoding: str) -> str:
        return self._data.decode(encoding)

    def __str__(self) -> str:
        return "configuration.toml"


def configuration(data: bytes) -> None:
    """A configuration file."""
    try:
        load_file(cast(Path, _InMemory(data)))
    except ConfigError as error:
        _require(bool(str(error)), "a refusal that says nothing")


TARGETS: dict[str, Target] = {
    "request-head": request_head,
    "response-head": response_head,
    "chunked-body": chunked_body,
    "event-stream": event_stream,
    "configuration": configuration,
}
