"""The admin port: a small HTTP server that knows whom it answers.

Reading is GET, doing is POST. A browser page of another origin can do neither: Host must be a name of the
port and Origin, when sent, the same (DNS rebinding). With a key, every request must show it, also those that
only read; off loopback the configuration insists on a key or on client certificates (CVE-2023-48022's
lesson: what starts open stays open). A browser shows the key once, on the console's login page, and a
session's cookie from then on, which opens the console alone.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

from steelyard.config.access import AdminOptions, is_loopback
from steelyard.gateway import answers
from steelyard.gateway.tls import FrontTls
from steelyard.model.errors import BadRequest, SteelyardError
from steelyard.runtime.admin_door import COOKIE, Door
from steelyard.runtime.admin_exchange import AdminAnswer, AdminRequest, EventStream, cookie
from steelyard.runtime.private_file import read_private
from steelyard.wire.http1_head import HEAD_END, RequestHead, parse_request_head

IDLE_S = 30.0
MAX_CONNECTIONS = 256
MAX_BODY_BYTES = 65_536
STREAM_BUFFER_BYTES = 256 * 1024  # what a reader of a stream may be behind,
SLOW_READER_S = 5.0  # and for how long
CONSOLE = "/console"
SHOWN_TO_ALL = ("/console/login", "/console/assets/")

TO_LOGIN = b"Location: /console/login\r\nCache-Control: no-store\r\n"

Handler = Callable[[AdminRequest], Awaitable[AdminAnswer]]


class AdminServer:
    """One answer a request, connections kept."""

    def __init__(self, handler: Handler, options: AdminOptions) -> None:
        """Raises ConfigError for a key or a certificate that cannot be read."""
        self._handler = handler
        self._names = frozenset(name.lower() for name in options.names)
        key = read_private(Path(options.key_file), "admin_access.key_file") if options.key_file else b""
        self.door = Door(key)
        self.tls = FrontTls(options.tls) if options.tls.enabled else None
        self._server: asyncio.Server | None = None
        self._open = 0
        self._streams: set[asyncio.Task[None]] = set()
        self.refused = 0

    async def start(self, listener: socket.socket) -> None:
        """Answer on a socket that listens."""
        context = self.tls.context if self.tls is not None else None
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=65_536, ssl=context)

    def close(self) -> None:
        """Take no more connections, and end the answers that have no end."""
        if self._server is not None:
            self._server.close()
        for stream in self._streams:
            stream.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            while self._open <= MAX_CONNECTIONS and await self._serve_one(reader, writer):
                pass
        except (
            OSError,
            TimeoutError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            asyncio.CancelledError,
        ):
            pass  # a client that left, stalled or sent too much has no claim to an answer
        finally:
            self._open -= 1
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async with asyncio.timeout(IDLE_S):
            data = await reader.readuntil(HEAD_END)
        keep = False
        try:
            head = parse_request_head(data)
            self._check_origin(head, writer)
            if head.chunked or head.content_length > MAX_BODY_BYTES:
                raise BadRequest("the admin port takes no such body", http_status=413)
            body = b""
            if head.content_length > 0:
                async with asyncio.timeout(IDLE_S):
                    body = await reader.readexactly(head.content_length)
            request = self._let_in(head, body, writer)
            answer = (
                await self._handler(request)
                if request is not None
                else answers.answer(303, b"", extra=TO_LOGIN)
            )
            if isinstance(answer, EventStream):
                await self._stream(answer, reader, writer)
                return False
            keep = head.keep_alive
            writer.write(answer)
        except SteelyardError as error:
            keep = False
            writer.write(answers.error(error, close=True, head_only=data.startswith(b"HEAD ")))
        await writer.drain()
        return keep

    def _let_in(self, head: RequestHead, body: bytes, writer: asyncio.StreamWriter) -> AdminRequest | None:
        """None for a browser that should log in first. Raises BadRequest for others without the key."""
        path, session, secure = head.path.decode("latin-1"), self._session(head), self.tls is not None
        allowed = not self.door.has_key or self._shows_key(head) or (bool(session) and _is_console(path))
        if not allowed and not path.startswith(SHOWN_TO_ALL):
            self.refused += 1
            if head.method == b"GET" and _is_page(path):
                return None
            raise BadRequest(
                "the admin port needs its key: send `Authorization: Bearer KEY`", http_status=401
            )
        return AdminRequest(head, _who(writer), self.door, body, session, allowed, secure)

    def _session(self, head: RequestHead) -> bytes:
        for line in head.lines:
            if line[:7].lower() == b"cookie:":
                value = cookie(line[7:].strip(), COOKIE)
                return value if value and self.door.knows(value) else b""
        return b""

    def _shows_key(self, head: RequestHead) -> bool:
        for line in head.lines:
            if line[:14].lower() == b"authorization:":
                scheme, _, shown = line[14:].strip().partition(b" ")
                return scheme.lower() == b"bearer" and self.door.fits(shown.strip())
        return False

    async def _stream(
        self, answer: EventStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Send pieces until either side has enough. Whoever reads too slowly is let go."""
        sending = asyncio.create_task(self._send(answer, writer))
        leaving = asyncio.create_task(reader.read(1))  # a client has nothing more to say: this is its end
        self._streams.add(sending)
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams.discard(sending)
            for each in (sending, leaving):
                each.cancel()
            ended, _ = await asyncio.gather(sending, leaving, return_exceptions=True)
            if isinstance(ended, Exception) and not isinstance(ended, OSError | TimeoutError):
                print(f"steelyard: a stream of the admin port broke: {ended!r}", file=sys.stderr, flush=True)
            writer.transport.abort()

    async def _send(self, answer: EventStream, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=STREAM_BUFFER_BYTES)
        writer.write(answer.head)
        async with aclosing(answer.pieces) as pieces:
            async for piece in pieces:
                writer.write(piece)
                async with asyncio.timeout(SLOW_READER_S):
                    await writer.drain()

    def _check_origin(self, head: RequestHead, writer: asyncio.StreamWriter) -> None:
        host = head.own.get(b"host", b"").decode("latin-1").lower()
        address = writer.get_extra_info("sockname")
        name, colon, port = host.rpartition(":")
        if not colon or not port.isdigit():
            name = host
        name = name.removeprefix("[").removesuffix("]")
        if (
            name not in self._names
            and name != address[0]
            and not (is_loopback(name) and is_loopback(address[0]))
        ):
            raise BadRequest(f"Host {host[:100]!r} is not this admin port: use {address[0]}", http_status=403)
        scheme = "https" if self.tls is not None else "http"
        for line in head.lines:
            lower = line.lower()
            if lower[:7] == b"origin:" and lower[7:].strip().decode("latin-1") != f"{scheme}://{host}":
                raise BadRequest("a page of another origin may not use the admin port", http_status=403)
            if (
                lower[:15] == b"sec-fetch-site:"
                and lower[15:].strip() not in (b"same-origin", b"none")
                and not _is_visit(head)
            ):
                raise BadRequest("a page of another origin may not use the admin port", http_status=403)


def _is_console(path: str) -> bool:
    return path == CONSOLE or path.startswith(f"{CONSOLE}/")


def _is_page(path: str) -> bool:
    """Of the console, for a person's eyes."""
    return _is_console(path) and not path.startswith((f"{CONSOLE}/api/", f"{CONSOLE}/events"))


def _is_visit(head: RequestHead) -> bool:
    """Somebody followed a link to a page: it changes nothing, and the page may stand in no frame."""
    fields = {line.lower().strip() for line in head.lines}
    whole_page = {b"sec-fetch-mode: navigate", b"sec-fetch-dest: document"} <= fields
    return head.method == b"GET" and _is_page(head.path.decode("latin-1")) and whole_page


def _who(writer: asyncio.StreamWriter) -> str:
    peer = writer.get_extra_info("peername")
    where = str(peer[0]) if isinstance(peer, tuple) else "local"
    certificate = writer.get_extra_info("peercert") or {}
    names = [value for pair in certificate.get("subject", ()) for key, value in pair if key == "commonName"]
    return f"{where} ({', '.join(names)})" if names else where
