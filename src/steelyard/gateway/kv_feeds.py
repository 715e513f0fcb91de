"""Feeds a worker's prefix index from engines' own cache events, where the configuration names them.

Each worker follows each engine; they write into the index that all share, so what one tied, all know. Which
of an engine's blocks a prompt's blocks are, the engine is asked once a prompt (`/tokenize`, after the answer,
one prompt at a time), since hashes of tokens cannot be computed from text: see
docs/decisions/0022-kv-events-are-tied-by-tokens.md. Nothing waits for any of this, and all of it has bounds.
"""

import asyncio
import sys
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import msgspec

from steelyard.config.schema import Configuration
from steelyard.engines.kv_events import BlocksRemoved, BlocksStored, KvEvent
from steelyard.gateway.meters import Meters
from steelyard.gateway.probes import fetch
from steelyard.gateway.routes import Pool
from steelyard.gateway.tls import NO_LINK, EngineLink
from steelyard.model.errors import UpstreamError
from steelyard.model.fleet import Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.model.routing_policy import LearningPolicy
from steelyard.policies.engine_blocks import Change, EngineBlocks
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.telemetry.kv_events import KvEventCounts, KvEventFeed, KvEventSource, zmq_asyncio

MAX_BODIES: Final = 256
MAX_BODY_BYTES: Final = 1 << 19  # what comes of more tokens is longer than an answer is read
MAX_WAITING: Final = 64
MAX_TIED: Final = 65_536
TOKENIZE_TIMEOUT_S: Final = 5.0
MAX_FAILURES: Final = 3  # in a row: an engine without /tokenize is not asked for ever
PUBLISH_S: Final = 0.5


class _Tokens(msgspec.Struct):
    tokens: list[int]


@dataclass(slots=True)
class EngineFollower:
    """One engine: its blocks, and the prompts whose tokens it is still to be asked for."""

    slot: int
    base_url: str
    index: PrefixIndex
    link: EngineLink = NO_LINK
    blocks: EngineBlocks = field(default_factory=EngineBlocks)
    failures: int = 0
    _waiting: deque[tuple[Request, bytes]] = field(default_factory=deque)
    _tied: dict[int, None] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def heard(self, events: list[KvEvent]) -> None:
        """Take the engine's word for what it holds."""
        for event in events:
            if isinstance(event, BlocksStored):
                self._apply(self.blocks.stored(event.blocks, event.parent, event.tokens, event.block_tokens))
            elif isinstance(event, BlocksRemoved):
                self._apply(self.blocks.removed(event.blocks))
            else:
                self.forget()

    def forget(self) -> None:
        """Nothing that was heard holds any more."""
        self.blocks.clear()
        self._tied.clear()
        self.index.forget(self.slot)

    def _apply(self, change: Change) -> None:
        if change.went:
            self.index.drop(self.slot, change.went)
        if change.came:
            self.index.set_held(self.slot, change.came)

    def answered(self, request: Request, body: bytes) -> None:
        """A prompt has been worked on: its tokens will be asked for, if it is not tied yet."""
        last = request.prefix_hashes[-1]
        if last in self._tied or len(self._waiting) >= MAX_WAITING or self.failures >= MAX_FAILURES:
            return
        if len(self._tied) >= MAX_TIED:
            del self._tied[next(iter(self._tied))]
        self._tied[last] = None
        self._waiting.append((request, body))
        self._wake.set()

    async def tie_prompts(self) -> None:
        """Ask for tokens, one prompt after the other, until cancelled or the engine cannot say."""
        while self.failures < MAX_FAILURES:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            request, body = self._waiting.popleft()
            try:
                tokens = await self._tokens(body)
            except (TimeoutError, OSError, UpstreamError, msgspec.MsgspecError, ValueError, OverflowError):
                self.failures += 1
                continue
            self.failures = 0
            hashes = request.prefix_hashes
            share = min(1.0, len(hashes) * request.prefix_block_tokens / max(1, request.prompt_tokens))
            self._apply(self.blocks.tie(hashes, share, tokens))
        said = f"steelyard: {self.base_url}/tokenize does not answer: its cache events are not used"
        print(said, file=sys.stderr, flush=True)

    async def _tokens(self, body: bytes) -> "array[int]":
        status, answer = await fetch(f"{self.base_url}/tokenize", TOKENIZE_TIMEOUT_S, self.link, body)
        if status != 200:
            raise UpstreamError(f"/tokenize answered {status}")
        return array("I", msgspec.json.decode(answer, type=_Tokens).tokens)


@dataclass(slots=True)
class KvLearner:
    """Hears of answers in a policy's place, and passes all on to it. tasks: kept alive by it."""

    inner: LearningPolicy | None
    followers: dict[int, EngineFollower]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _bodies: dict[int, bytes] = field(default_factory=dict)

    def sees(self, request: Request, body: bytes) -> None:
        """Keep a body until its answer has come."""
        if request.prefix_hashes and len(body) <= MAX_BODY_BYTES:
            if len(self._bodies) >= MAX_BODIES:
                del self._bodies[next(iter(self._bodies))]
            self._bodies[request.prefix_hashes[-1]] = body

    def observe_first_token(
        self, pick: Pick, request: Request, ttft_s: float, fleet: Fleet, now_s: float
    ) -> None:
        """Pass it on."""
        if self.inner is not None:
            self.inner.observe_first_token(pick, request, ttft_s, fleet, now_s)

    def observe_finish(
        self,
        pick: Pick,
        request: Request,
        total_s: float,
        output_tokens: int,
        cached_tokens: int,
        fleet: Fleet,
        now_s: float,
    ) -> None:
        """Pass it on, and have the prompt tied."""
        follower = self.followers.get(pick.slot)
        if follower is not None and request.prefix_hashes:
            body = self._bodies.pop(request.prefix_hashes[-1], None)
            if body is not None:
                follower.answered(request, body)
        if self.inner is not None:
            self.inner.observe_finish(pick, request, total_s, output_tokens, cached_tokens, fleet, now_s)


def follow_kv_events(
    configuration: Configuration, pools: dict[str, Pool], index: PrefixIndex, meters: Meters
) -> None:
    """Begin to follow every engine that the configuration names, in the running loop. Raises ConfigError."""
    counts = KvEventCounts()
    slot = -1
    for options in configuration.pools:
        learner = KvLearner(pools[options.name].learner, {})
        for replica in options.replicas:
            slot += 1
            if not replica.kv_events:
                continue
            url = replica.url.rstrip("/")
            link = EngineLink.to(url, options.engine)
            follower = learner.followers[slot] = EngineFollower(slot, url, index, link)
            source = KvEventSource(
                endpoint=replica.kv_events, replay=replica.kv_replay, topic=options.kv_events_topic
            )
            feed = KvEventFeed(source, follower.heard, follower.forget, counts)
            learner.tasks += [asyncio.create_task(feed.run()), asyncio.create_task(follower.tie_prompts())]
        if learner.followers:
            zmq_asyncio()  # says so at the start when it is missing
            learner.tasks.append(asyncio.create_task(_publish(counts, meters)))
            counts = KvEventCounts()
            pools[options.name].learner, pools[options.name].sees = learner, learner.sees


async def _publish(counts: KvEventCounts, meters: Meters) -> None:
    """Keep the counters on the metrics page up to date."""
    told = KvEventCounts()
    while True:
        await asyncio.sleep(PUBLISH_S)
        meters.kv_events(counts.batches - told.batches, counts.gaps - told.gaps, counts.lost - told.lost)
        told = KvEventCounts(counts.batches, counts.gaps, counts.lost)
