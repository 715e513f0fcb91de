"""An engine's stream of cache events over ZeroMQ, in order and without gaps: vLLM's publisher and its replay.

A message is [topic, sequence, batch]. A sequence that jumps is a gap: it is asked for at the replay endpoint,
which answers with what it still has and ends with an empty batch. What is lost for good, or malformed, makes
the whole picture unsure, so whoever listens is told to forget it. A sequence that goes back is an engine that
was restarted. Needs pyzmq (`pip install 'steelyard[kv-events]'`).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from steelyard.engines.kv_events import MAX_BATCH_BYTES, KvEvent, MalformedEvents, decode_batch
from steelyard.model.errors import ConfigError

REPLAY_TIMEOUT_S: Final = 2.0
MAX_REPLAYED: Final = 100_000  # batches after one gap; vLLM keeps 10,000
QUEUED_BATCHES: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KvEventSource:
    """Where an engine publishes. replay: "" when it replays nothing. topic: a beginning of it; "" for all."""

    endpoint: str
    replay: str = ""
    topic: str = ""


@dataclass(slots=True)
class KvEventCounts:
    """What a feed met. gaps: how often batches were missing; lost: how often for good, or unreadable."""

    batches: int = 0
    gaps: int = 0
    lost: int = 0


def zmq_asyncio() -> Any:
    """The library. Raises ConfigError without it."""
    try:
        import zmq.asyncio
    except ImportError:
        raise ConfigError(
            "kv_events needs pyzmq, which is not installed: pip install 'steelyard[kv-events]'"
        ) from None
    return zmq


@dataclass(slots=True)
class KvEventFeed:
    """Follows one engine.

    heard: called with the events of a batch, in order. forget: called when what was heard no longer holds.
    """

    source: KvEventSource
    heard: Callable[[list[KvEvent]], None]
    forget: Callable[[], None]
    counts: KvEventCounts = field(default_factory=KvEventCounts)
    _last: int = -1

    async def run(self) -> None:
        """Follow until cancelled; a publisher that is away is waited for."""
        zmq = zmq_asyncio()
        context = zmq.asyncio.Context()
        socket = context.socket(zmq.SUB)
        try:
            socket.setsockopt(zmq.MAXMSGSIZE, MAX_BATCH_BYTES)
            socket.setsockopt(zmq.RCVHWM, QUEUED_BATCHES)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(self.source.endpoint)
            socket.subscribe(self.source.topic.encode())
            while True:
                await self._message(await socket.recv_multipart(), context, zmq)
        finally:
            socket.close(0)
            context.destroy(0)

    async def _message(self, frames: list[bytes], context: Any, zmq: Any) -> None:
        if len(frames) != 3 or len(frames[1]) != 8:
            self._unsure()
            return
        number = int.from_bytes(frames[1], "big")
        if number <= self._last:
            self.forget()  # it counts anew: another engine
            self._last = -1
        if number > self._last + 1:
            self.counts.gaps += self._last >= 0
            await self._catch_up(number, context, zmq)
        self._take(number, frames[2])

    def _take(self, number: int, payload: bytes) -> None:
        self._last = number
        self.counts.batches += 1
        try:
            events = decode_batch(payload)
        except MalformedEvents:
            self._unsure()
            return
        self.heard(events)

    def _unsure(self) -> None:
        self.counts.lost += 1
        self.forget()

    async def _catch_up(self, number: int, context: Any, zmq: Any) -> None:
        """Ask for what is missing before a number; forget everything when it does not all come."""
        first_time = self._last < 0
        if self.source.replay:
            try:
                async with asyncio.timeout(REPLAY_TIMEOUT_S):
                    await self._replay(number, context, zmq)
            except TimeoutError:
                pass
        # Of an engine that was there before us the beginning is unknown, which is no loss.
        if self._last != number - 1 and not first_time:
            self._unsure()

    async def _replay(self, number: int, context: Any, zmq: Any) -> None:
        socket = context.socket(zmq.DEALER)
        try:
            socket.setsockopt(zmq.MAXMSGSIZE, MAX_BATCH_BYTES)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(self.source.replay)
            # The empty frame makes it the request that the engine's ROUTER expects.
            await socket.send_multipart([b"", (self._last + 1).to_bytes(8, "big")])
            for _ in range(MAX_REPLAYED):
                frames = await socket.recv_multipart()
                if len(frames) < 3 or len(frames[-2]) != 8 or not frames[-1]:
                    return
                replayed = int.from_bytes(frames[-2], "big")
                first_time = self._last < 0
                if replayed >= number:
                    return
                if replayed == self._last + 1 or (first_time and replayed > self._last):
                    self._take(replayed, frames[-1])
        finally:
            socket.close(0)
