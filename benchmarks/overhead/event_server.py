"""An engine that streams: `python -m benchmarks.overhead.event_server EVENTS INTERVAL_MS HOLD_S PORT...`

Every request is answered with EVENTS server-sent events. Those of one port leave together, one a stream
every INTERVAL_MS, as an engine's batch steps do; each event is a write of its own. With HOLD_S above 0
a stream has its first event at once and the others after so long: an idle stream.
"""

import asyncio
import sys
from typing import cast

import uvloop

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
MODELS = b'{"object":"list","data":[{"id":"m","object":"model","created":1,"owned_by":"none"}]}'
INFO = b'{"model_path":"m","tokenizer_path":"","served_model_name":"m","is_generation":true,"dp_size":1}'


def chunk(payload: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


_TOKEN = (
    b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":%b}]}\n\n'
)
EVENT = chunk(_TOKEN % b"null")
LAST_EVENT = chunk(_TOKEN % b'"stop"')
END = chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Engine:
    """One port: the streams under way, stepped together."""

    def __init__(self, events: int, interval_s: float, hold_s: float) -> None:
        self.events = events
        self.hold_s = hold_s
        self._interval_s = interval_s
        self._streams: dict[asyncio.Transport, int] = {}
        self._loop = asyncio.get_running_loop()
        self._next_s = self._loop.time()
        self._step()

    def begin(self, transport: asyncio.Transport) -> None:
        """Answer with the head and the first event."""
        transport.write(HEAD)
        transport.write(EVENT)
        if self.hold_s:
            self._loop.call_later(self.hold_s, self._join, transport)
        else:
            self._join(transport)

    def _join(self, transport: asyncio.Transport) -> None:
        # The first event has been written, and the last of `events` is [DONE].
        self._streams[transport] = self.events - 2

    def forget(self, transport: asyncio.Transport) -> None:
        """The connection is gone."""
        self._streams.pop(transport, None)

    def _step(self) -> None:
        done = []
        for transport, left in self._streams.items():
            transport.write(EVENT if left > 1 else LAST_EVENT)
            self._streams[transport] = left - 1
            if left <= 1:
                transport.write(END)
                done.append(transport)
        for transport in done:
            del self._streams[transport]
        self._next_s = max(self._next_s + self._interval_s, self._loop.time())
        self._loop.call_at(self._next_s, self._step)


class Connection(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._transport: asyncio.Transport | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget its stream."""
        if self._transport is not None:
            self._engine.forget(self._transport)

    def data_received(self, data: bytes) -> None:
        """Answer each whole request; a body is skipped by its length."""
        self._data += data
        while b"\r\n\r\n" in self._data and self._transport is not None:
            head, _, rest = self._data.partition(b"\r\n\r\n")
            length, lower = 0, head.lower()
            if b"content-length:" in lower:
                length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(rest) < length:
                return
            self._data = rest[length:]
            if head.startswith(b"POST"):
                self._engine.begin(self._transport)
            else:
                body = MODELS if b"/models" in head else INFO
                self._transport.write(JSON_HEAD % (len(body), body))


async def main(words: list[str]) -> None:
    """Serve until ended."""
    events, interval_ms, hold_s, *ports = words
    loop = asyncio.get_running_loop()
    servers = []
    for port in ports:
        engine = Engine(int(events), float(interval_ms) / 1e3, float(hold_s))

        def connection(engine: Engine = engine) -> Connection:
            return Connection(engine)

        servers.append(await loop.create_server(connection, "127.0.0.1", int(port), backlog=8192))
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
