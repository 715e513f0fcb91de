"""The admin port: metrics and replicas to read, drain and restore to do. Loopback by default.

Reading is GET, doing is POST; a browser page of another origin can do neither: Host must be the
port's own address and Origin, when sent, the same (DNS rebinding, CVE-2023-48022's lesson).
"""

import asyncio
from collections.abc import Awaitable, Callable

from steelyard.gateway import answers
from steelyard.model.errors import BadRequest
from steelyard.wire.http1_head import HEAD_END, RequestHead, parse_request_head

Handler = Callable[[RequestHead], Awaitable[bytes]]
IDLE_S = 30.0


class AdminServer:
    """A small HTTP server: one answer a request, connections kept."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return the address taken. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=65_536)
        address = self._server.sockets[0].getsockname()
        return str(address[0]), int(address[1])

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
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
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async with asyncio.timeout(IDLE_S):
            data = await reader.readuntil(HEAD_END)
        keep = False
        try:
            head = parse_request_head(data)
            self._check_origin(head, writer)
            if head.chunked or head.content_length > 65_536:
                raise BadRequest("the admin port takes no such body", http_status=413)
            if head.content_length > 0:
                await reader.readexactly(head.content_length)
            keep = head.keep_alive
            writer.write(await self._handler(head))
        except BadRequest as error:
            keep = False
            writer.write(answers.error(error, close=True))
        await writer.drain()
        return keep

    @staticmethod
    def _check_origin(head: RequestHead, writer: asyncio.StreamWriter) -> None:
        host = head.own.get(b"host", b"").decode("latin-1")
        address = writer.get_extra_info("sockname")
        name = host.rpartition(":")[0] or host
        if name.strip("[]") not in (address[0], "localhost", "127.0.0.1", "::1"):
            raise BadRequest(f"Host {host[:100]!r} is not this admin port: use {address[0]}", http_status=403)
        for line in head.lines:
            if line[:7].lower() == b"origin:" and line[7:].strip().decode("latin-1") != f"http://{host}":
                raise BadRequest("a page of another origin may not use the admin port", http_status=403)
