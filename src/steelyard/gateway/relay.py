"""An engine's answer on its way to the client: one head written anew, then one write a payload.

One write per read, not per event: engines flush several tokens at once, each extra write is a system
call, and holding bytes back to find event borders would delay the first token. A chunk that came whole
and plain goes on as it came; anything else is framed anew.
"""

from collections import deque
from typing import Final

from steelyard.gateway import answers
from steelyard.gateway.answer_head import AnswerHead
from steelyard.gateway.outlet import Outlet
from steelyard.wire.answer_so_far import AnswerSoFar
from steelyard.wire.chunked import LAST_CHUNK, chunk
from steelyard.wire.openai import count_after, read_stream_usage
from steelyard.wire.openai_bodies import Usage

TAIL_PAYLOADS: Final = 4  # the usage stands in one of the last payloads, before `[DONE]`
MAX_READ_USAGE_BYTES: Final = 1 << 20
_LAST_EVENTS: Final = (b"data: [DONE]", b"data:[DONE]")


class Relay:
    """Writes one answer.

    id_lines: field lines that the gateway adds, each ending in CRLF.
    has_body: False for an answer to HEAD, and for 204 and 304.
    length: of the body as the engine gave it, -1 when it did not.
    begun: the client has seen bytes of it.
    first_s: when it began, 0 before.
    so_far: what has been read of a stream by who keeps it alive; without it, the relay looks itself.
    close_after: the client's connection ends with this answer.
    """

    __slots__ = (
        "_chunked",
        "_events",
        "_id_lines",
        "_minor_version",
        "_tail",
        "_transport",
        "_usage_read",
        "begun",
        "close_after",
        "first_s",
        "has_body",
        "head",
        "length",
        "so_far",
    )

    def __init__(
        self,
        head: AnswerHead,
        length: int,
        minor_version: int,
        id_lines: bytes,
        transport: Outlet,
    ) -> None:
        self.head = head
        self.length = length
        self.has_body = True
        self.begun = False
        self.first_s = 0.0
        self.close_after = False
        self._minor_version = minor_version
        self._id_lines = id_lines
        self._transport = transport
        self._chunked = False
        self._events = 0
        self._tail: deque[bytes] = deque(maxlen=TAIL_PAYLOADS)
        self._usage_read: tuple[int, int] | None = None
        self.so_far: AnswerSoFar | None = None

    def _head_bytes(self) -> bytes:
        head = self.head
        self._chunked = self.has_body and self.length < 0 and self._minor_version > 0
        if self.has_body and self.length < 0 and not self._chunked:
            self.close_after = True  # the end of the connection is the end of the answer
            framing = b""
        elif self._chunked:
            framing = b"Transfer-Encoding: chunked\r\n"
        elif self.length >= 0 and head.status not in (204, 304):
            framing = b"Content-Length: %d\r\n" % self.length
        else:
            framing = b""
        connection = answers.connection_line(not self.close_after, self._minor_version)
        return b"%b%b%b%b\r\n" % (head.beginning(), framing, connection, self._id_lines)

    def begin(self, payload: bytes, now_s: float) -> None:
        """Write the head with the first payload."""
        self.begun = True
        self.first_s = now_s
        head = self._head_bytes()  # decides on the framing, so it comes first
        self._transport.write_now(head + (chunk(payload) if self._chunked else payload))
        if self.so_far is None:
            self._note(payload)

    def go_on(self, payload: bytes, framed: bytes | None) -> None:
        """Write more payload. framed: the same as one chunk, if it came so."""
        if not self._chunked:
            self._transport.write_now(payload)
        else:
            self._transport.write_now(framed or b"%x\r\n%b\r\n" % (len(payload), payload))
        if self.so_far is None:
            self._note(payload)

    def _note(self, payload: bytes) -> None:
        if self.head.event_stream:
            self._tail.append(payload)
            self._events += payload.count(b"data:")
        elif not self._tail and len(payload) == self.length:
            self._tail.append(payload)

    def finish(self) -> None:
        """Write what ends the answer."""
        if not self.begun:
            self.begun = True
            self._transport.write_now(self._head_bytes() + (LAST_CHUNK if self._chunked else b""))
        elif self._chunked:
            self._transport.write_now(LAST_CHUNK)

    def cut(self, message: str) -> bool:
        """End an answer that cannot be finished. Returns whether the client was told in its own protocol;
        if not, the connection must be broken so that the answer cannot look whole."""
        if not self.head.event_stream or not self._chunked:
            return False
        # An event of its own, even when the engine stopped inside one: an empty line ends that one first.
        # No final chunk: the body stays visibly unfinished.
        self._transport.write_now(chunk(b"\n\n" + answers.stream_error(message)))
        return True

    @property
    def said_all(self) -> bool:
        """Whether a stream's `[DONE]` has gone out: only the end of the framing is missing then."""
        if self.so_far is not None:
            return self.so_far.done
        if not self.head.event_stream or self.length >= 0:
            return False
        last_line = self.tail.rstrip(b"\r\n").rpartition(b"\n")[2]
        return last_line in _LAST_EVENTS  # a line of its own, which no text of a model is

    def unheard(self) -> None:
        """The client is gone: nothing more is written."""
        self._chunked = False

    @property
    def tail(self) -> bytes:
        """The end of the answer as it was passed on: its last payloads, or all of one that came as one."""
        return b"".join(self._tail)

    def tokens(self) -> tuple[int, int]:
        """(output tokens, cached prompt tokens or -1): the usage if there is one, else a count of events."""
        if self.so_far is not None:
            return tokens_of(self.so_far.usage, self.so_far.tokens)
        if self._usage_read is None:
            if self.head.event_stream:
                usage = read_stream_usage(self.tail)
                self._usage_read = tokens_of(usage, max(0, self._events - 1))
            else:
                self._usage_read = whole_tokens(self._tail[0]) if self._tail else (0, -1)
        return self._usage_read


def tokens_of(usage: Usage | None, otherwise: int) -> tuple[int, int]:
    """(output tokens, cached prompt tokens or -1) of a usage, or without one."""
    if usage is None:
        return otherwise, -1
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details is not None else None
    return usage.completion_tokens, -1 if cached is None else cached


def whole_tokens(body: bytes) -> tuple[int, int]:
    """(output tokens, cached prompt tokens or -1) of a whole answer; (0, -1) when it does not say."""
    if len(body) > MAX_READ_USAGE_BYTES:
        return 0, -1
    at = body.rfind(b'"usage":')
    if at < 0:
        return 0, -1
    output = count_after(body, b'"completion_tokens":', at)
    return output if output > 0 else 0, count_after(body, b'"cached_tokens":', at)
