"""A steady load over kept connections, by a client that forgives nothing: what fails is counted."""

import asyncio
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit

BODY = b'{"model": "emulated", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}'
STREAM = b'{"model": "emulated", "prompt": "hi", "max_tokens": %d, "stream": true}'


def post(body: bytes, key: str = "", path: str = "/v1/chat/completions") -> bytes:
    """A request."""
    shown = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"POST {path} HTTP/1.1\r\nHost: gateway\r\n{shown}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass
class Outcome:
    """What became of the requests."""

    done: int = 0
    streams: int = 0
    failures: list[str] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """(status, body, whether the connection stays). Raises IncompleteReadError for a cut answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    body = b""
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    elif b"content-length: " in head:
        body = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
    return int(head.split()[1]), body, b"connection: close" not in head


class Load:
    """`connections` clients that send `rate_per_s` requests together, and `streams` that stream."""

    def __init__(
        self, url: str, *, connections: int = 20, rate_per_s: float = 200, streams: int = 0, tokens: int = 40
    ) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 0
        self._pause_s = connections / rate_per_s
        self._connections, self._streams, self._tokens = connections, streams, tokens
        self._stopped = threading.Event()
        self.outcome = Outcome()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join(60)

    def wait_for(self, more: int) -> None:
        """Until so many more requests are done, or any failed."""
        wanted, deadline_s = self.outcome.done + more, time.monotonic() + 60
        while self.outcome.done < wanted and not self.outcome.failures:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)

    async def _run(self) -> None:
        clients = [self._client(index) for index in range(self._connections)]
        await asyncio.gather(*clients, *(self._streamer() for _ in range(self._streams)))

    async def _client(self, index: int) -> None:
        outcome, connection = self.outcome, None
        due_s = time.monotonic() + self._pause_s * index / self._connections
        while not self._stopped.is_set():
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            due_s += self._pause_s
            started_s = time.monotonic()
            try:
                if connection is None:
                    connection = await asyncio.open_connection(*self._address)
                connection[1].write(post(BODY))
                status, _, stays = await read_answer(connection[0])
                if status != 200:
                    outcome.failures.append(f"status {status}")
            except (OSError, asyncio.IncompleteReadError) as error:
                outcome.failures.append(repr(error))
                stays = False
            outcome.done += 1
            outcome.took_s.append(time.monotonic() - started_s)
            if not stays and connection is not None:
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    async def _streamer(self) -> None:
        while not self._stopped.is_set():
            try:
                reader, writer = await asyncio.open_connection(*self._address)
                writer.write(post(STREAM % self._tokens, path="/v1/completions"))
                status, body, _ = await read_answer(reader)
                writer.close()
                if status != 200 or not body.rstrip().endswith(b"data: [DONE]"):
                    self.outcome.failures.append(f"stream: status {status}, ends in {body[-80:]!r}")
                self.outcome.streams += 1
            except (OSError, asyncio.IncompleteReadError) as error:
                self.outcome.failures.append(f"stream: {error!r}")
