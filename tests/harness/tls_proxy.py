"""TLS before a plain server, as an engine's own would be; it notes what it is sent."""

import asyncio
import ssl
import threading
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit


class TlsProxy:
    """Listens with a certificate and passes bytes on."""

    def __init__(self, url: str, certificate: Path, key: Path, client_authority: Path | None = None) -> None:
        parts = urlsplit(url)
        self._to = parts.hostname or "", parts.port or 80
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        if client_authority is not None:
            self._context.load_verify_locations(client_authority)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._stop = asyncio.Event()
        self.port = 0
        self.received = b""

    def __enter__(self) -> "TlsProxy":
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        near, far = await asyncio.open_connection(*self._to)

        async def up() -> None:
            while data := await reader.read(65_536):
                self.received += data
                far.write(data)
            far.close()

        upward = asyncio.create_task(up())
        try:
            while data := await near.read(65_536):
                writer.write(data)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            upward.cancel()
            writer.close()
            far.close()
