"""The load of streams: `python -m benchmarks.overhead.event_client PORT CONNECTIONS STREAMS EVENTS RAMP_S`

Each connection asks for STREAMS streams, one after the other, and counts their events. Connections open
over RAMP_S seconds. When every connection has had its first event the word `open` is printed; at the end a
line of JSON: streams that were whole, errors, seconds, events that came with one read (1 when each came by
itself), and the 99th percentile of the time between two reads of a stream.
"""

import asyncio
import contextlib
import json
import sys
import time
from typing import cast

import uvloop

PROMPT = "word " * 200
BODY = json.dumps(
    {"model": "m", "stream": True, "max_tokens": 200, "messages": [{"role": "user", "content": PROMPT}]}
).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer sk-none\r\nAccept: text/event-stream\r\nContent-Length: %d\r\n\r\n%b"
    % (len(BODY), BODY)
)
EVENT = b"data: "
DONE = b"data: [DONE]"
LIMIT_S = 60.0
LAST_CHUNK = b"0\r\n\r\n"


class Tally:
    """What all connections have seen."""

    def __init__(self, connections: int) -> None:
        self.whole = self.errors = 0
        self.left = self.to_open = connections
        self.finished = asyncio.Event()
        self.events = 0
        self.gaps_s: list[float] = []

    def opened(self) -> None:
        """A connection had its first event, or failed before it."""
        self.to_open -= 1
        if self.to_open == 0:
            print("open", flush=True)

    def delivery(self) -> dict[str, float]:
        """How events came."""
        gaps_s = sorted(self.gaps_s) or [0.0]
        return {
            "events_a_read": self.events / max(1, len(self.gaps_s)),
            "gap_p99_ms": gaps_s[len(gaps_s) * 99 // 100] * 1e3,
        }

    def closed(self) -> None:
        """A connection has no more to ask for."""
        self.left -= 1
        if self.left == 0:
            self.finished.set()


class Streams(asyncio.Protocol):
    """One connection."""

    def __init__(self, tally: Tally, streams: int, events: int) -> None:
        self._tally = tally
        self._left = streams
        self._expected = events
        self._seen = 0
        self._begun = False
        self._tail = b""
        self._last_s = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first stream."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        """Count events; at the end of a stream ask for the next."""
        if not self._begun and EVENT in data:
            self._begun = True
            self._tally.opened()
        # An event or the end may be cut by a read: what could be the beginning of one is kept.
        text = self._tail + data
        came = text.count(EVENT) - self._tail.count(EVENT)
        self._seen += came
        self._note(came)
        self._tail = text[-32:]
        if text.endswith(LAST_CHUNK) and DONE in self._tail:
            self._stream_ended()

    def _note(self, came: int) -> None:
        """Keep how long a stream's next events took."""
        now_s = time.monotonic()
        if came and self._last_s:
            self._tally.gaps_s.append(now_s - self._last_s)
            self._tally.events += came
        self._last_s = now_s

    def _stream_ended(self) -> None:
        self._last_s = 0.0
        whole = self._seen == self._expected
        self._tally.whole += whole
        self._tally.errors += not whole
        self._seen, self._tail = 0, b""
        self._left -= 1
        if self._transport is not None:
            if self._left:
                self._transport.write(REQUEST)
            else:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """What was not seen to its end is an error."""
        self._tally.errors += self._left
        if not self._begun:
            self._tally.opened()
        self._tally.closed()


async def main(words: list[str]) -> None:
    """Run the load."""
    port, connections, streams, events = map(int, words[:4])
    ramp_s = float(words[4])
    loop = asyncio.get_running_loop()
    tally = Tally(connections)
    begun_s = time.monotonic()
    for number in range(connections):
        delay_s = begun_s + ramp_s * number / connections - time.monotonic()
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        try:
            await loop.create_connection(lambda: Streams(tally, streams, events), "127.0.0.1", port)
        except OSError:
            tally.errors += streams
            tally.opened()
            tally.closed()
    with contextlib.suppress(TimeoutError):  # what is not there by then counts as an error
        await asyncio.wait_for(tally.finished.wait(), LIMIT_S)
    if tally.to_open > 0:
        print("open", flush=True)
    seconds = time.monotonic() - begun_s
    errors = connections * streams - tally.whole
    result = {"whole": tally.whole, "errors": errors, "seconds": seconds, **tally.delivery()}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
