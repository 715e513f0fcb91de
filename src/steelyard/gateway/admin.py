"""The admin port: a small HTTP server that knows whom it answers.

Reading is GET, doing is POST. A browser page of another origin can do neither: Host must be a name of the
port and Origin, when sent, the same (DNS rebinding). With a key, every request must show it, also those that
only read; off loopback the configuration insists on a key or on client certificates (CVE-2023-48022's
lesson: what starts open stays open).
"""

import asyncio
import hmac
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from steelyard.config.access import AdminOptions, is_loopback
from steelyard.gateway import answers
from steelyard.gateway.tls import FrontTls
from steelyard.model.errors import BadRequest
from steelyard.runtime.private_file import read_private
from steelyard.wire.http1_head import HEAD_END, RequestHead, parse_request_head

IDLE_S = 30.0
MAX_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """A request that was let in. who: from where, and with which certificate, for the audit log."""

    head: RequestHead
    who: str


Handler = Callable[[AdminRequest], Awaitable[bytes]]


class AdminServer:
    """One answer a request, connections kept."""

    def __init__(self, handler: Handler, options: AdminOptions) -> None:
        """Raises ConfigError for a key or a certificate that cannot be read."""
        self._handler = handler
        self._names = frozenset(name.lower() for name in options.names)
        self._key = read_private(Path(options.key_file), "admin_access.key_file") if options.key_file else b""
        self.tls = FrontTls(options.tls) if options.tls.enabled else None
        self._server: asyncio.Server | None = None
        self._open = 0
        self.refused = 0

    async def start(self, listener: socket.socket) -> None:
        """Answer on a socket that listens."""
        context = self.tls.context if self.tls is not None else None
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=65_536, ssl=context)

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()

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
            if not self._may(head):
                self.refused += 1
                raise BadRequest(
                    "the admin port needs its key: send `Authorization: Bearer KEY`", http_status=401
                )
            if head.chunked or head.content_length > 65_536:
                raise BadRequest("the admin port takes no such body", http_status=413)
            if head.content_length > 0:
                async with asyncio.timeout(IDLE_S):
                    await reader.readexactly(head.content_length)
            keep = head.keep_alive
            writer.write(await self._handler(AdminRequest(head, _who(writer))))
        except BadRequest as error:
            keep = False
            writer.write(answers.error(error, close=True))
        await writer.drain()
        return keep

    def _may(self, head: RequestHead) -> bool:
        if not self._key:
            return True
        for line in head.lines:
            if line[:14].lower() == b"authorization:":
                scheme, _, shown = line[14:].strip().partition(b" ")
                return scheme.lower() == b"bearer" and hmac.compare_digest(shown.strip(), self._key)
        return False

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
            if lower[:15] == b"sec-fetch-site:" and lower[15:].strip() not in (b"same-origin", b"none"):
                raise BadRequest("a page of another origin may not use the admin port", http_status=403)


def _who(writer: asyncio.StreamWriter) -> str:
    peer = writer.get_extra_info("peername")
    where = str(peer[0]) if isinstance(peer, tuple) else "local"
    certificate = writer.get_extra_info("peercert") or {}
    names = [value for pair in certificate.get("subject", ()) for key, value in pair if key == "commonName"]
    return f"{where} ({', '.join(names)})" if names else where
