"""A client's connection: bytes in, one exchange at a time, answers in the order of the requests.

Pipelined requests wait in a bounded buffer while the one before them is answered. A request that cannot
be understood is answered and its connection closed, since where the next one begins is not known.
"""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from steelyard.gateway import answers, forwarding, refusals, setbacks
from steelyard.gateway.exchange import Exchange
from steelyard.gateway.outlet import Outlet
from steelyard.gateway.request_body import RequestBody, too_long
from steelyard.gateway.request_plan import RequestPlan
from steelyard.model.errors import BadRequest
from steelyard.wire.head_memo import HeadReader, without_empty_lines
from steelyard.wire.http1_head import check_unfinished

if TYPE_CHECKING:
    from steelyard.gateway.context import WorkerContext

MAX_PIPELINED_BYTES: Final = 65_536
CLOSING_TIMEOUT_S: Final = 30.0  # without a byte taken
LINGER_S: Final = 3.0  # how long what a refused client still sends is read, so that it reads the refusal
HALF_CLOSE_PROBE_AFTER_S: Final = 0.4
FORGET_HEAD_AFTER_S: Final = 2.0


class ClientConnection:
    """One client, from accept to close; an `asyncio.Protocol` by its methods."""

    __slots__ = (
        "_buffer",
        "_closing_s",
        "_context",
        "_deadline_s",
        "_forwarding",
        "_half_closed_s",
        "_head_begun",
        "_head_seen",
        "_heads",
        "_idle_timeout_s",
        "_limits",
        "_lingering",
        "_max_body_bytes",
        "_quiet_since_s",
        "_reading_paused",
        "_scheme",
        "_serving",
        "_unsent_bytes",
        "_upload",
        "believed",
        "exchange",
        "peer",
        "transport",
        "writing_paused",
    )

    def __init__(self, context: "WorkerContext") -> None:
        self._context = context
        self._limits = limits = context.configuration.limits
        self._max_body_bytes = limits.max_body_bytes  # these two are read for every request
        self._idle_timeout_s = limits.client_idle_timeout_s
        self._heads = HeadReader(context.plans, self._limits.max_head_bytes)
        self._buffer = b""
        self._head_seen = 0  # bytes of the buffer that were looked at
        self._upload: RequestBody | None = None
        self._head_begun = True  # a new connection's time for its first head runs from the start
        self._reading_paused = False
        self._half_closed_s = 0.0
        self._serving = self.writing_paused = self._lingering = False
        self._closing_s = 0.0
        self._unsent_bytes = 0
        self._deadline_s = self._quiet_since_s = 0.0
        self._forwarding = self._scheme = b""
        self.believed = False
        self.exchange: Exchange | None = None
        self.peer = ""

    # --- called by asyncio ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept, unless the worker has as many connections as it may."""
        given = cast(asyncio.Transport, transport)
        # What the kernel does not take at once pauses whoever writes. Not 0: uvloop's TLS takes an empty
        # buffer for a full one then, and pauses at every second write.
        given.set_write_buffer_limits(high=1)
        self.transport = Outlet(given, self._context.outbox)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        self._scheme = b"http" if transport.get_extra_info("sslcontext") is None else b"https"
        self._forwarding = forwarding.lines(self.peer, self._scheme)
        self.believed = self._context.trusted_proxies.has(self.peer)
        if len(self._context.connections) >= self._limits.max_connections:
            self._context.meters.client_error(503)
            self.transport.write(
                answers.plain_error(
                    503, "too many connections: try again shortly", close=True, extra=answers.RETRY_AFTER
                )
            )
            self.transport.close()
            return
        self._context.connections.add(self)
        self._quiet_since_s = now_s = monotonic()
        self._deadline_s = now_s + self._limits.client_head_timeout_s

    def data_received(self, data: bytes) -> None:
        """Take bytes: of a head, of a body, or of a pipelined request that must wait."""
        if self._upload is not None:
            self._take_body(data)
        elif self._lingering:
            return
        elif self._head_seen and b"\n" not in data and self._buffer:
            self._take_piece_of_head(data)
        elif self.exchange is None and not self.writing_paused:
            self._serve(self._buffer + data if self._buffer else data)
        else:
            self._buffer += data
            if len(self._buffer) > MAX_PIPELINED_BYTES and not self._reading_paused:
                self._reading_paused = True
                self.transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more. It may still be waiting for its answer: keep the way back open."""
        if self.exchange is None and not (self.writing_paused and self._buffer):
            self.transport.leave()  # asyncio closes it now
            return False
        self._half_closed_s = monotonic()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: whatever was being done for it stops."""
        self._context.connections.discard(self)
        self.transport.drop()
        if self.exchange is None:
            return
        exchange, self.exchange = self.exchange, None
        relay = exchange.relay
        if relay is not None and relay.said_all and not self.writing_paused:
            relay.unheard()
            exchange.abandon()
            exchange.answer_done()  # it has read `[DONE]`: it was served
        else:
            exchange.client_left()

    def pause_writing(self) -> None:
        """The client reads slowly: stop reading from the engine, and begin no further answer."""
        self.writing_paused = True
        if self.exchange is not None:
            self.exchange.client_writing(paused=True)

    def resume_writing(self) -> None:
        """The client caught up."""
        self.writing_paused = False
        if self.exchange is not None:
            self.exchange.client_writing(paused=False)
        elif not self.transport.is_closing() and not self._lingering:
            self._go_on()

    # --- reading requests ----------------------------------------------------------------------

    def _serve(self, data: bytes) -> None:
        """Serve requests from `data` while they are whole; a loop, since answers may be immediate.

        What is left waits in the buffer.
        """
        self._serving = True
        try:
            while data:
                if data[0] == 0x0D:
                    data = without_empty_lines(data)
                    self._head_seen = 0
                plan = self._heads.read(data)
                if plan is None:
                    self._buffer = data
                    self._check_unfinished_head(data)
                    break
                self._head_seen = 0
                if plan.head.https_only and self._scheme == b"http" and not self.believed:
                    # RFC 9110 section 7.4: what is asked for by https is not given in the open.
                    raise BadRequest(
                        "an https address is not served over a plain connection", http_status=421
                    )
                length, body_at = self._heads.length, self._heads.body_at
                stop = body_at + length if length > 0 else body_at
                if plan.chunked or stop > len(data):
                    self._buffer = b""
                    self._await_body(plan, length, data[body_at:])
                else:
                    self._buffer = data[stop:]
                    self._start(plan, data[body_at:stop])
                if self.exchange is not None or self._upload is not None or self.writing_paused:
                    break
                if self._lingering or self.transport.is_closing():
                    return
                data = self._buffer
        except BadRequest as error:
            self.refuse(error, head_only=data.startswith(b"HEAD "))
        finally:
            self._serving = False
        if self._half_closed_s and self.exchange is None and not self.writing_paused:
            self.transport.close()  # nothing more can come, and all that came whole is answered

    def _take_piece_of_head(self, data: bytes) -> None:
        """Bytes that end no line cannot end a head: sent one by one, they cost as little as they can."""
        self._buffer += data
        try:
            self._check_unfinished_head(self._buffer)
        except BadRequest as error:
            self.refuse(error, head_only=self._buffer.startswith(b"HEAD "))

    def _check_unfinished_head(self, data: bytes) -> None:
        """Decide whether a head that has not ended may go on: as if all of it had come at once."""
        if not self._head_begun:
            self._head_begun = True
            self._deadline_s = monotonic() + self._limits.client_head_timeout_s
        most = self._limits.max_head_bytes
        check_unfinished(data[: most + 4], min(self._head_seen, most + 3))
        self._head_seen = len(data)
        if len(data) - 3 > most:  # its empty line could still begin in the last three bytes
            status = 414 if b"\r\n" not in data[:most] else 431
            raise BadRequest(f"the request head is over {most} bytes", http_status=status)

    def _await_body(self, plan: RequestPlan, length: int, rest: bytes) -> None:
        """A head is there whose body is not: read it as it comes."""
        upload = RequestBody(plan, length, self._limits, monotonic())
        gate = self._context.gate
        if gate is not None and not gate.knows(plan):
            # A stranger's body is not worth reading: it may be large, and come slowly.
            raise BadRequest("a valid API key is needed", http_status=401, code="invalid_api_key")
        self._upload = upload
        self._deadline_s = upload.deadline_s
        if plan.head.expects_continue and not rest:
            self.transport.write(answers.CONTINUE)
        if rest:
            self._take_body(rest)

    def _take_body(self, data: bytes) -> None:
        upload = self._upload
        if upload is None:
            return
        try:
            done = upload.feed(data, monotonic())
        except BadRequest as error:
            self.refuse(error, head_only=upload.plan.is_head)
            return
        self._deadline_s = upload.deadline_s
        if done:
            self._upload = None
            self._buffer = upload.rest
            self._start(upload.plan, upload.whole())

    def _start(self, plan: RequestPlan, body: bytes) -> None:
        if len(body) > self._max_body_bytes:
            raise too_long(self._max_body_bytes)
        self._deadline_s = 0.0
        self._head_begun = False
        if plan.ends_here:
            keep_alive = plan.keep_alive and not self._context.draining
            self.transport.write(answers.options(plan, keep_alive))
            self.finished(monotonic(), keep_alive=keep_alive)
            return
        self.exchange = exchange = Exchange(self._context, self, plan, body)
        exchange.start()

    # --- called by the exchange ----------------------------------------------------------------

    def finished(self, now_s: float, *, keep_alive: bool) -> None:
        """The answer has been written: go on with the next request, or close."""
        self.exchange = None
        if not keep_alive:
            if self._buffer or self._reading_paused:
                self._linger()  # it sends more than it may
            else:
                self.transport.close()
            return
        self._quiet_since_s = now_s
        self._deadline_s = now_s + self._idle_timeout_s
        if not self.writing_paused:
            self._go_on()

    def _go_on(self) -> None:
        """Read again, and serve what waits; the loop in `_serve` does the latter by itself."""
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resume_reading()
        if self._serving:
            return
        if self._buffer:
            self._serve(self._buffer)
        elif self._half_closed_s and self._upload is None:
            self.transport.close()

    def forwarding_lines(self, plan: RequestPlan) -> bytes:
        """Field lines that tell an engine for whom it works, each ending in CRLF."""
        if self.believed:
            return forwarding.lines_behind(self.peer, self._scheme, plan.head.own)
        return self._forwarding

    def refuse(self, error: BadRequest, *, head_only: bool = False) -> None:
        """Answer a request that was not understood, and close: what follows cannot be trusted.

        head_only: it is a HEAD.
        """
        self._upload, self._buffer = None, b""
        self._context.meters.client_error(error.http_status)
        extra = refusals.CHALLENGE if error.http_status == 401 else b""
        self.transport.write(answers.error(error, close=True, extra=extra, head_only=head_only))
        if error.http_status == 408:
            self.transport.close()  # it sends nothing
        else:
            self._linger()

    def _linger(self) -> None:
        """Close so that the client can read what was written, whatever it still sends (RFC 9112 section 9.6).

        A socket that is closed with bytes unread sends a reset, which overtakes the answer. TLS has no
        half-close here and needs none: uvloop says farewell, and drops what comes until the client has, too.
        """
        if self._half_closed_s or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._lingering = True
        self._buffer = b""
        self._deadline_s = monotonic() + LINGER_S
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resume_reading()
        self.transport.write_eof()

    # --- called by the sweeper -----------------------------------------------------------------

    def check_deadline(self, now_s: float) -> None:
        """Give up a client or an engine that is too slow; look whether a client that half-closed is there."""
        if self.transport.is_closing():
            self._check_closing(now_s)
            return
        if self.exchange is not None:
            setbacks.check_deadlines(self.exchange, now_s)
        if self.exchange is not None:
            if self._half_closed_s and now_s - self._half_closed_s > HALF_CLOSE_PROBE_AFTER_S:
                # A closed socket and a half-closed one look alike until something is sent: an interim
                # answer is valid HTTP for a client that waits, and brings a reset from one that has gone.
                self._half_closed_s = now_s
                told = self.exchange.plan.minor_version == 1 and not self.transport.is_closing()
                if told and self.exchange.nothing_written:
                    self.transport.write(answers.PROCESSING)
            return
        if self._upload is None and not self._buffer and now_s - self._quiet_since_s > FORGET_HEAD_AFTER_S:
            self._heads.forget()  # its last head may be long, and idle connections are many
        if not self._deadline_s or now_s < self._deadline_s:
            return
        if self._upload is not None or self._buffer:
            what = "body" if self._upload is not None else "head"
            self.refuse(BadRequest(f"the request {what} did not arrive in time", http_status=408))
        else:
            self.transport.close()

    def _check_closing(self, now_s: float) -> None:
        """A closed connection still sends what was written: as long as its client reads any of it."""
        unsent = self.transport.get_write_buffer_size()
        if not self._closing_s or unsent < self._unsent_bytes:
            self._closing_s, self._unsent_bytes = now_s, unsent
        elif now_s - self._closing_s > CLOSING_TIMEOUT_S:
            self.transport.abort()

    def close_if_quiet(self, now_s: float, quiet_s: float) -> None:
        """Close when nothing is under way and nothing has been for so long."""
        idle = self.exchange is None and self._upload is None and not self._buffer
        if idle and now_s - self._quiet_since_s >= quiet_s:
            self.transport.close()
