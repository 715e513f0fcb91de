"""A client's connection: bytes in, one exchange at a time, answers in the order of the requests.

Pipelined requests wait in a bounded buffer while the one before them is answered. A request that cannot
be understood is answered and its connection closed, since where the next one begins is not known.
"""

import asyncio
from typing import TYPE_CHECKING, cast

from steelyard.gateway import answers
from steelyard.gateway.exchange import Exchange
from steelyard.model.errors import BadRequest
from steelyard.wire.chunked import ChunkedReader, MalformedChunk
from steelyard.wire.http1_head import HEAD_END, RequestHead, parse_request_head

if TYPE_CHECKING:
    from steelyard.gateway.context import WorkerContext

MAX_PIPELINED_BYTES = 65_536
HALF_CLOSE_PROBE_AFTER_S = 0.4


class ClientConnection(asyncio.Protocol):
    """One client, from accept to close."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_body_left",
        "_buffer",
        "_chunks",
        "_context",
        "_deadline_s",
        "_half_closed_s",
        "_head",
        "_reading_paused",
        "_serving",
        "exchange",
        "peer",
        "transport",
    )

    def __init__(self, context: "WorkerContext") -> None:
        self._context = context
        self._buffer = b""
        self._head: RequestHead | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._body_left = 0
        self._chunks: ChunkedReader | None = None
        self._reading_paused = False
        self._half_closed_s = 0.0
        self._serving = False
        self._deadline_s = 0.0
        self.exchange: Exchange | None = None
        self.peer = ""

    # --- called by asyncio ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept, unless the worker has as many connections as it may."""
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        limits = self._context.configuration.limits
        if len(self._context.connections) >= limits.max_connections:
            self._context.meters.client_error(503)
            self.transport.write(
                answers.plain_error(503, "too many connections: try again shortly", close=True)
            )
            self.transport.close()
            return
        self._context.connections.add(self)
        self._deadline_s = self._context.loop.time() + limits.client_head_timeout_s

    def data_received(self, data: bytes) -> None:
        """Take bytes: of a body, of a head, or of a pipelined request that must wait."""
        if self.exchange is not None:
            self._buffer += data
            if len(self._buffer) > MAX_PIPELINED_BYTES and not self._reading_paused:
                self._reading_paused = True
                self.transport.pause_reading()
        elif self._head is not None:
            self._take_body(data)
        else:
            self._buffer = self._buffer + data if self._buffer else data
            self._serve_buffer()

    def eof_received(self) -> bool:
        """The client sends no more. It may still be waiting for its answer: keep the way back open."""
        if self.exchange is None:
            return False
        self._half_closed_s = self._context.loop.time()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: whatever was being done for it stops."""
        self._context.connections.discard(self)
        if self.exchange is not None:
            exchange, self.exchange = self.exchange, None
            exchange.client_left()

    def pause_writing(self) -> None:
        """The client reads slowly: stop reading from the engine."""
        if self.exchange is not None:
            self.exchange.client_writing(paused=True)

    def resume_writing(self) -> None:
        """The client caught up."""
        if self.exchange is not None:
            self.exchange.client_writing(paused=False)

    # --- reading requests ----------------------------------------------------------------------

    def _serve_buffer(self) -> None:
        """Serve requests from the buffer while they are whole; a loop, since answers may be immediate."""
        if self._serving:
            return
        self._serving = True
        try:
            while self._buffer and self.exchange is None and self._head is None:
                if self.transport.is_closing() or not self._take_head():
                    break
        finally:
            self._serving = False

    def _take_head(self) -> bool:
        """Read a head off the buffer; whether there was one that could be used."""
        limits = self._context.configuration.limits
        if self._buffer.startswith(b"\r\n"):  # RFC 9112 section 2.2: ignore an empty line before a request
            self._buffer = self._buffer[2:]
        buffer = self._buffer
        end = buffer.find(HEAD_END)
        if end < 0 or end > limits.max_head_bytes:
            return self._await_head(buffer, limits.max_head_bytes)
        try:
            head = parse_request_head(buffer[: end + 4], limits.max_header_count)
            self._buffer = b""
            self._begin(head, buffer[end + 4 :])
        except BadRequest as error:
            self.refuse(error)
            return False
        return True

    def _await_head(self, buffer: bytes, max_head_bytes: int) -> bool:
        """Decide whether a head that has not ended may go on."""
        if len(buffer) > max_head_bytes:
            line_too_long = b"\r\n" not in buffer[:max_head_bytes]
            status = 414 if line_too_long else 431
            self.refuse(BadRequest(f"the request head is over {max_head_bytes} bytes", http_status=status))
        elif (at := buffer.find(b"\n")) >= 0 and (at == 0 or buffer[at - 1] != 0x0D):
            self.refuse(BadRequest("malformed request: a line ends in a bare LF"))
        return False

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        """A head is there: read its body, or start at once when that is already here."""
        limits = self._context.configuration.limits
        length = head.content_length
        if length > limits.max_body_bytes:
            raise BadRequest(f"the body is over {limits.max_body_bytes} bytes", http_status=413)
        if length <= 0 and not head.chunked:
            self._buffer = rest
            self._start(head, b"")
        elif len(rest) >= length and not head.chunked:
            self._buffer = rest[length:]
            self._start(head, rest if len(rest) == length else rest[:length])
        else:
            self._head, self._body_left, self._body_bytes = head, length, 0
            self._chunks = ChunkedReader() if head.chunked else None
            self._deadline_s = self._context.loop.time() + limits.client_body_timeout_s
            if head.expects_continue and not rest:
                self.transport.write(answers.CONTINUE)
            if rest:
                self._take_body(rest)

    def _take_body(self, data: bytes) -> None:
        head = self._head
        if head is None:
            return
        rest = b""
        if self._chunks is not None:
            try:
                payload = self._chunks.feed(data)
            except MalformedChunk as error:
                self.refuse(BadRequest(f"malformed request: {error}"))
                return
            done, rest = self._chunks.done, self._chunks.rest
        else:
            payload = data if len(data) <= self._body_left else data[: self._body_left]
            self._body_left -= len(payload)
            done, rest = self._body_left == 0, data[len(payload) :]
        self._body_bytes += len(payload)
        limit = self._context.configuration.limits.max_body_bytes
        if self._body_bytes > limit:
            self.refuse(BadRequest(f"the body is over {limit} bytes", http_status=413))
            return
        self._body.append(payload)
        if done:
            body = b"".join(self._body)
            self._head, self._chunks, self._body = None, None, []
            self._buffer = rest
            self._start(head, body)

    def _start(self, head: RequestHead, body: bytes) -> None:
        self._deadline_s = 0.0
        self.exchange = Exchange(self._context, self, head, body)
        self.exchange.start()

    # --- called by the exchange ----------------------------------------------------------------

    def finished(self, *, keep_alive: bool) -> None:
        """The answer has been written: go on with the next request, or close."""
        self.exchange = None
        if not keep_alive or self._half_closed_s or self._context.draining:
            self.transport.close()
            return
        self._deadline_s = (
            self._context.loop.time() + self._context.configuration.limits.client_idle_timeout_s
        )
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resume_reading()
        if self._buffer:
            self._serve_buffer()

    def refuse(self, error: BadRequest) -> None:
        """Answer a request that was not understood, and close: what follows cannot be trusted."""
        self._head, self._chunks, self._body, self._buffer = None, None, [], b""
        self._context.meters.client_error(error.http_status)
        self.transport.write(answers.error(error, close=True))
        self.transport.close()

    # --- called by the sweeper -----------------------------------------------------------------

    def check_deadline(self, now_s: float) -> None:
        """Give up a client that is too slow; look whether one that half-closed is still there."""
        if self.exchange is not None:
            if self._half_closed_s and now_s - self._half_closed_s > HALF_CLOSE_PROBE_AFTER_S:
                # A closed socket and a half-closed one look alike until something is sent: an interim
                # answer is valid HTTP for a client that waits, and brings a reset from one that has gone.
                self._half_closed_s = now_s
                if self.exchange.nothing_written and not self.transport.is_closing():
                    self.transport.write(answers.PROCESSING)
            return
        if not self._deadline_s or now_s < self._deadline_s:
            return
        if self._head is not None or self._buffer:
            what = "body" if self._head is not None else "head"
            self.refuse(BadRequest(f"the request {what} did not arrive in time", http_status=408))
        else:
            self.transport.close()

    def drain(self) -> None:
        """Close when nothing is under way; else after the answer."""
        if self.exchange is None and self._head is None and not self._buffer:
            self.transport.close()
