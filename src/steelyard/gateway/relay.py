"""An engine's answer on its way to the client: one head written anew, then one write a payload.

One write per read, not per event: engines flush several tokens at once, each extra write is a system
call, and holding bytes back to find event borders would delay the first token.
"""

import asyncio

from steelyard.gateway import answers
from steelyard.wire.chunked import LAST_CHUNK, chunk
from steelyard.wire.http1_head import RequestHead, ResponseHead
from steelyard.wire.openai import Usage, read_stream_usage, read_usage

TAIL_BYTES = 4096
MAX_READ_USAGE_BYTES = 1 << 20


class Relay:
    """Writes one answer.

    begun: the client has seen bytes of it.
    first_s: when it began, 0 before.
    close_after: the client's connection ends with this answer.
    """

    __slots__ = (
        "_chunked",
        "_events",
        "_last",
        "_request",
        "_request_id",
        "_transport",
        "_usage_read",
        "_whole",
        "begun",
        "close_after",
        "first_s",
        "has_body",
        "head",
    )

    def __init__(
        self,
        head: ResponseHead,
        request: RequestHead,
        request_id: bytes,
        transport: asyncio.Transport,
        *,
        has_body: bool,
    ) -> None:
        self.head = head
        self.has_body = has_body
        self.begun = False
        self.first_s = 0.0
        self.close_after = False
        self._request = request
        self._request_id = request_id
        self._transport = transport
        self._chunked = has_body and head.content_length < 0
        self._events = 0
        self._last = b""
        self._whole = False
        self._usage_read: tuple[int, int] | None = None

    def _head_bytes(self) -> bytes:
        head = self.head
        if self._chunked and self._request.minor_version == 0:
            self._chunked, self.close_after = False, True
            framing = b""
        elif self._chunked:
            framing = b"Transfer-Encoding: chunked\r\n"
        elif head.content_length >= 0 and head.status not in (204, 304):
            framing = b"Content-Length: %d\r\n" % head.content_length
        else:
            framing = b""
        connection = b""
        if self.close_after:
            connection = b"Connection: close\r\n"
        elif self._request.minor_version == 0:
            connection = b"Connection: keep-alive\r\n"
        return b"%b%b%b%bX-Request-Id: %b\r\n\r\n" % (
            answers.STATUS_LINES.get(head.status) or b"HTTP/1.1 %d Unknown\r\n" % head.status,
            b"".join(head.lines),
            framing,
            connection,
            self._request_id,
        )

    def payload(self, payload: bytes, now_s: float) -> None:
        """Write payload, with the head before the first."""
        event_stream = self.head.event_stream
        if not self.begun:
            self.begun = True
            self.first_s = now_s
            self._whole = not event_stream and len(payload) == self.head.content_length
            self._last = payload[-TAIL_BYTES:] if event_stream else payload
            head = self._head_bytes()  # decides on the framing, so it comes first
            self._transport.write(head + (chunk(payload) if self._chunked else payload))
        else:
            if event_stream:
                self._last = (self._last + payload)[-TAIL_BYTES:]
            self._transport.write(chunk(payload) if self._chunked else payload)
        if event_stream:
            self._events += payload.count(b"data:")

    def finish(self) -> None:
        """Write what ends the answer."""
        if not self.begun:
            self.begun = True
            self._transport.write(self._head_bytes() + (LAST_CHUNK if self._chunked else b""))
        elif self._chunked:
            self._transport.write(LAST_CHUNK)

    def cut(self, message: str) -> bool:
        """End an answer that cannot be finished. Returns whether the client was told in its own protocol;
        if not, the connection must be broken so that the answer cannot look whole."""
        if not self.head.event_stream or not self._chunked:
            return False
        # An event of its own, even when the engine stopped inside one: an empty line ends that one first.
        # No final chunk: the body stays visibly unfinished.
        self._transport.write(chunk(b"\n\n" + answers.stream_error(message)))
        return True

    def tokens(self) -> tuple[int, int]:
        """(output tokens, cached prompt tokens or -1): the usage if there is one, else a count of events."""
        if self._usage_read is None:
            usage: Usage | None = None
            if self.head.event_stream:
                usage = read_stream_usage(self._last)
            elif self._whole and len(self._last) <= MAX_READ_USAGE_BYTES and b'"usage"' in self._last:
                usage = read_usage(self._last)
            if usage is None:
                self._usage_read = (max(0, self._events - 1), -1)
            else:
                details = usage.prompt_tokens_details
                cached = details.cached_tokens if details is not None else None
                self._usage_read = (usage.completion_tokens, -1 if cached is None else cached)
        return self._usage_read
