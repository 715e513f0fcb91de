"""Connections to one replica: a stack of idle ones, and the reading of one answer at a time.

The idle connection used last is taken first, so that a quiet pool shrinks; one that has idled longer than
`idle_timeout_s` is not used, since engines close theirs after 5 s (uvicorn) and a request
sent into a closing connection is lost. A connection goes back only after an answer that ended
cleanly on its last byte: bytes after an answer never reach another client.

A kept connection on which anything waits (bytes that nobody asked for, or its end) is not used: the kernel is
asked at each use, since the loop may not have come to it yet. Bytes that cannot be an answer may still arrive
just after a request. What the answer before left behind is nobody's, and cannot be told from a fault of the
engine's: the request is sent once more on a fresh connection, where the same would be a fault.
"""

import asyncio
import select
from time import monotonic
from typing import Final, cast
from urllib.parse import urlsplit

from steelyard.config.access import EngineAccessOptions
from steelyard.config.schema import TimeoutOptions, UpstreamOptions
from steelyard.gateway.answer_head import AnswerHead
from steelyard.gateway.outlet import Outbox, Sender
from steelyard.gateway.tls import EngineLink, port_of
from steelyard.model.errors import UpstreamError
from steelyard.wire.chunked import ChunkedReader, MalformedChunk
from steelyard.wire.head_memo import HeadMemo, HeadReader
from steelyard.wire.http1_head import check_unfinished_answer

MAX_HEAD_BYTES: Final = 65_536
MAX_JOINED_BYTES: Final = 32_768  # a head and a body up to this size leave in one piece; no others are copied
BODILESS: Final = frozenset((204, 304))


class AnswerReceiver:
    """Who gets an answer: the exchange that asked, or what keeps its stream alive.

    A class and no protocol: compiled, its methods are called through a table, not sought by name.
    """

    __slots__ = ()

    def upstream_connected(self, connection: "UpstreamConnection") -> None:
        """A connection is open."""
        raise NotImplementedError

    def upstream_refused(self, error: str) -> None:
        """No connection could be opened."""
        raise NotImplementedError

    def answer_whole(self, head: AnswerHead, body: bytes) -> None:
        """The whole answer came at once."""
        raise NotImplementedError

    def answer_head(self, head: AnswerHead, length: int, has_body: bool) -> None:
        """The answer begins. length: of its body, -1 when the engine did not say."""
        raise NotImplementedError

    def answer_payload(self, payload: bytes, framed: bytes | None) -> None:
        """More of the body. framed: the same as one chunk, if it came so."""
        raise NotImplementedError

    def answer_done(self) -> None:
        """The answer is complete."""
        raise NotImplementedError

    def upstream_lost(self, error: str) -> None:
        """The connection broke, or what came on it was no HTTP."""
        raise NotImplementedError


class UpstreamPool:
    """All connections of this worker to one replica."""

    def __init__(
        self,
        base_url: str,
        options: UpstreamOptions,
        timeouts: TimeoutOptions,
        loop: asyncio.AbstractEventLoop,
        heads: HeadMemo[AnswerHead],
        access: EngineAccessOptions,
        outbox: Outbox,
    ) -> None:
        """Raises ConfigError for a key or certificates that cannot be read."""
        parts = urlsplit(base_url)
        self.host = parts.hostname or ""
        self.port = port_of(base_url)
        self._link = link = EngineLink.to(base_url, access)
        # Authority and path prefix. The engines' key goes behind the authority, as a field of its own.
        shown = b"\r\n" + link.key_line if link.key else b""
        self.place = (parts.netloc.encode() + shown, parts.path.rstrip("/").encode())
        self._connect_timeout_s = timeouts.connect_timeout_s
        self._loop = loop
        self._max_idle = options.max_idle_connections
        self._idle_timeout_s = options.idle_timeout_s
        self.heads = heads
        self.outbox = outbox
        self._idle: list[UpstreamConnection] = []
        self._connecting: set[asyncio.Task[None]] = set()

    def take_idle(self, now_s: float) -> "UpstreamConnection | None":
        """An open connection that may be used at once, or None."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            fresh = now_s - connection.idle_since_s < self._idle_timeout_s
            if fresh and connection.usable:
                return connection
            connection.close()
        return None

    def connect(self, receiver: AnswerReceiver) -> asyncio.Task[None]:
        """Open a connection for a receiver; it hears `upstream_connected` or `upstream_refused`."""
        task = self._loop.create_task(self._connect(receiver))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return task

    async def _connect(self, receiver: AnswerReceiver) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = UpstreamConnection(self)
                await self._loop.create_connection(
                    lambda: cast(asyncio.Protocol, connection),
                    self.host,
                    self.port,
                    ssl=self._link.context,
                    server_hostname=self._link.server_name,
                )
        except TimeoutError:
            receiver.upstream_refused(f"no connection within {self._connect_timeout_s:g} s")
        except OSError as error:
            receiver.upstream_refused(error.strerror or str(error))
        else:
            receiver.upstream_connected(connection)

    def give_back(self, connection: "UpstreamConnection") -> None:
        """Keep a clean connection for the next request."""
        if len(self._idle) < self._max_idle and not connection.sends_on():
            connection.idle_since_s = monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def forget(self, connection: "UpstreamConnection") -> None:
        """Drop an idle connection that its engine closed."""
        if connection in self._idle:
            self._idle.remove(connection)

    def expire_idle(self, now_s: float) -> None:
        """Close what has idled too long; called by the sweeper."""
        limit_s = self._idle_timeout_s
        while self._idle and now_s - self._idle[0].idle_since_s >= limit_s:
            self._idle.pop(0).close()

    def close(self) -> None:
        """Close all idle connections and give up those being opened."""
        while self._idle:
            self._idle.pop().close()
        for task in list(self._connecting):
            task.cancel()


class UpstreamConnection(Sender):
    """One connection to an engine, carrying one exchange at a time; an `asyncio.Protocol` by its methods."""

    __slots__ = (
        "_body_left",
        "_buffer",
        "_chunks",
        "_delimited_by_close",
        "_head",
        "_head_request",
        "_heads",
        "_large",
        "_poll",
        "_pool",
        "_spoke",
        "_unsent",
        "_write",
        "answered",
        "idle_since_s",
        "receiver",
        "transport",
        "usable",
    )

    def __init__(self, pool: UpstreamPool) -> None:
        self._pool = pool
        self._heads = HeadReader(pool.heads, MAX_HEAD_BYTES)
        self.receiver: AnswerReceiver | None = None
        self.idle_since_s = 0.0
        self.usable = True
        self.answered = 0  # answers read so far: a connection that has read one may die of old age
        self._buffer = self._unsent = b""
        self._head: AnswerHead | None = None
        self._chunks: ChunkedReader | None = None
        self._body_left = -1
        self._head_request = self._delimited_by_close = self._spoke = self._large = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=1)  # a request leaves at once
        self._write = self.transport.write
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._poll = poll.poll

    def send(self, receiver: AnswerReceiver, head: bytes, body: bytes, *, head_request: bool) -> None:
        """Send a whole request at the end of this turn; its answer goes to `receiver`."""
        self.receiver = receiver
        self._head_request = head_request
        self._spoke = False
        self._large = len(body) > MAX_JOINED_BYTES
        if not self._large:
            self._unsent = head + body
            self._pool.outbox.add(self)
        else:
            self._unsent = head
            self.leave()
            if self.usable:  # and not `self.receiver is receiver`: compiled, that takes no None for an answer
                self._write(body)

    def leave(self) -> None:
        """Send what has not been sent, unless something waits on the connection: bytes, or its end."""
        request, self._unsent = self._unsent, b""
        if not request:
            return  # it was given up
        if self.answered and self._poll(0):
            self._fail("the engine spoke unasked")
        else:
            self._write(request)

    def sends_on(self) -> bool:
        """Whether the engine answered before it had all of a large body: it may never read the rest."""
        return self._large and self.transport.get_write_buffer_size() > 0

    @property
    def answer_begun(self) -> bool:
        """Whether any byte of the current answer has come; what was left over from the last one is none."""
        return self._spoke or self._head is not None or bool(self._buffer)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        receiver = self.receiver
        if receiver is None:
            self.close()  # bytes that nobody asked for
            return
        if self._unsent:
            self._fail("the engine spoke unasked")
            return
        try:
            if self._head is not None:
                self._read_body(receiver, data)
            else:
                self._read_head(receiver, self._buffer + data if self._buffer else data)
        except (UpstreamError, MalformedChunk) as error:
            self._spoke, self._buffer = False, b""  # no answer has begun, unless there is a head
            self._fail(str(error))

    def _read_head(self, receiver: AnswerReceiver, data: bytes) -> None:
        while True:
            head = self._heads.read(data)
            if head is None:
                self._await_head(data)
                return
            length, body_at = self._heads.length, self._heads.body_at
            if head.status >= 200:
                break
            if head.status == 101:
                raise UpstreamError("the engine switched protocols unasked")
            self._spoke = True
            data = data[body_at:]  # an interim answer ends here: the client hears of none
            if not data:
                self._buffer = b""
                return
        has_body = not (self._head_request or head.status in BODILESS or length == 0)
        if has_body and length == len(data) - body_at:
            self._answer_is_whole(receiver, head, data[body_at:])
            return
        if head.status == 204 and (length > 0 or head.chunked):
            self.usable = False  # it has no body, and says that it has: what follows is nobody's answer
        self._buffer = b""
        self._head = head
        self._delimited_by_close = has_body and length < 0 and not head.chunked
        receiver.answer_head(head, length, has_body)
        if self.receiver is not receiver:
            return  # the receiver gave this answer up
        if not has_body:
            self._finish(data[body_at:])
            return
        if head.chunked:
            self._chunks = ChunkedReader()
        else:
            self._body_left = length
        if len(data) > body_at:
            self._read_body(receiver, data[body_at:])

    def _await_head(self, data: bytes) -> None:
        """Decide whether a head that has not ended may go on."""
        if len(data) - 3 > MAX_HEAD_BYTES:  # its empty line could still begin in the last three bytes
            raise UpstreamError(f"the response head is longer than {MAX_HEAD_BYTES} bytes")
        check_unfinished_answer(data)
        self._buffer = data

    def _answer_is_whole(self, receiver: AnswerReceiver, head: AnswerHead, body: bytes) -> None:
        """Head and body came in one read and end where it ends: the way of every short answer."""
        self._buffer = b""
        self.answered += 1
        self.receiver = None
        if head.keep_alive and self.usable:
            self._pool.give_back(self)
        else:
            self.close()
        receiver.answer_whole(head, body)

    def _read_body(self, receiver: AnswerReceiver, data: bytes) -> None:
        chunks = self._chunks
        if chunks is not None:
            start = chunks.whole(data)
            if start:
                receiver.answer_payload(data[start:-2], data)
                return
            payload = chunks.feed(data)
            if payload:
                receiver.answer_payload(payload, None)
            if chunks.done and self.receiver is receiver:
                self._finish(chunks.rest)
            return
        left = self._body_left
        if left < 0:  # until the connection closes
            receiver.answer_payload(data, None)
        elif len(data) < left:
            self._body_left = left - len(data)
            receiver.answer_payload(data, None)
        else:
            receiver.answer_payload(data if len(data) == left else data[:left], None)
            if self.receiver is receiver:
                self._finish(data[left:])

    def _finish(self, rest: bytes) -> None:
        """The answer ended. The connection is kept only if it ended exactly there."""
        receiver, head = self.receiver, self._head
        self.receiver = None
        self.answered += 1
        reusable = (
            head is not None and head.keep_alive and not rest and self.usable and not self._delimited_by_close
        )
        self._buffer, self._head, self._chunks, self._body_left = b"", None, None, -1
        self._delimited_by_close = False
        if reusable:
            self.transport.resume_reading()
            self._pool.give_back(self)
        else:
            self.close()
        if receiver is not None:
            receiver.answer_done()

    def _fail(self, error: str) -> None:
        receiver, self.receiver = self.receiver, None
        self.close()
        if receiver is not None:
            receiver.upstream_lost(error)

    def pause_writing(self) -> None:
        """Called by asyncio: the engine reads slowly. There is nothing to pause: all has been written."""

    def resume_writing(self) -> None:
        """Called by asyncio."""

    def eof_received(self) -> None:
        """Called by asyncio; returning None closes the transport."""
        self.usable = False
        if self.receiver is not None and self._delimited_by_close:
            self._finish(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self.usable = False
        if self.receiver is None:
            self._pool.forget(self)
        else:
            self._fail("the engine closed the connection" if exc is None else str(exc))

    def abandon(self) -> None:
        """The receiver wants no more of this answer: the engine sees the connection close and stops."""
        self.receiver = None
        self.usable = False
        self._unsent = b""
        self.transport.abort()

    def close(self) -> None:
        """Close after what has been sent; at once where the engine does not read it."""
        self.usable = False
        self._unsent = b""
        unread = self.transport.get_write_buffer_size() > 0
        (self.transport.abort if unread else self.transport.close)()
