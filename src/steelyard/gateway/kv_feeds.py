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
from contextlib import suppress
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
MAX_KEPT_BYTES: Final = 8 << 20  # of all bodies in a worker, which has a goal of 60 MB
MAX_WAITING: Final = 64
MAX_TIED: Final = 65_536
TOKENIZE_TIMEOUT_S: Final = 5.0
MAX_FAILURES: Final = 3  # in a row: an engine without /tokenize is not asked until it begins anew
NO_TOKENIZE: Final = frozenset((404, 405, 501))
PROMPTS_FAULT: Final = frozenset((400, 413, 422))  # another prompt may do, the same one never will
NO_ANSWER: Final = 0
FIRST_REST_S: Final = 0.5
MAX_REST_S: Final = 30.0
PUBLISH_S: Final = 0.5


class _Tokens(msgspec.Struct):
    tokens: list[int]


@dataclass(slots=True)
class KeptBodies:
    """The bodies that a worker keeps, of all of its pools: until the answer, then until they are asked about.

    One for all, so that what a pool left behind (of a request that failed) gives way to any other's.
    """

    free_bytes: int = MAX_KEPT_BYTES
    unanswered: dict[int, bytes] = field(default_factory=dict)  # by the last hash of the prompt

    def keep(self, last: int, body: bytes) -> None:
        """Keep a body until its answer has come, or the room is needed for younger ones."""
        self.pop(last)
        kept = self.unanswered
        while kept and (len(kept) >= MAX_BODIES or len(body) > self.free_bytes):
            self.pop(next(iter(kept)))
        if self.take(body):
            kept[last] = body

    def pop(self, last: int) -> bytes:
        """The body of a prompt that has been answered; b"" when it is not kept."""
        body = self.unanswered.pop(last, b"")
        self.give_back(body)
        return body

    def take(self, body: bytes) -> bool:
        """Whether there was room for one that waits elsewhere."""
        if len(body) > self.free_bytes:
            return False
        self.free_bytes -= len(body)
        return True

    def give_back(self, body: bytes) -> None:
        """It waits no more."""
        self.free_bytes += len(body)


@dataclass(slots=True)
class EngineFollower:
    """One engine: its blocks, and the prompts whose tokens it is still to be asked for.

    failures: answers in a row that say that it has no /tokenize; rests: other failures in a row, each with a
    rest behind it.
    """

    slot: int
    base_url: str
    index: PrefixIndex
    link: EngineLink = NO_LINK
    blocks: EngineBlocks = field(default_factory=EngineBlocks)
    bodies: KeptBodies = field(default_factory=KeptBodies)
    first_rest_s: float = FIRST_REST_S
    failures: int = 0
    rests: int = 0
    _resting: bool = False
    _told: bool = False
    _waiting: deque[tuple[Request, bytes]] = field(default_factory=deque)
    _tied: dict[int, None] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _anew: asyncio.Event = field(default_factory=asyncio.Event)

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
        """Nothing that was heard holds any more; an engine that began anew may say tokens now."""
        self.blocks.clear()
        self._tied.clear()
        self.index.forget(self.slot)
        self.failures = self.rests = 0
        self._anew.set()

    def _apply(self, change: Change) -> None:
        if change.went:
            self.index.drop(self.slot, change.went)
        if change.came:
            self.index.set_held(self.slot, change.came)

    def answered(self, request: Request, body: bytes) -> None:
        """A prompt has been worked on: its tokens will be asked for, if it is not tied yet."""
        last = request.prefix_hashes[-1]
        asks = self.failures < MAX_FAILURES and not self._resting and len(self._waiting) < MAX_WAITING
        if last in self._tied or not asks or not self.bodies.take(body):
            return
        if len(self._tied) >= MAX_TIED:
            del self._tied[next(iter(self._tied))]
        self._tied[last] = None
        self._waiting.append((request, body))
        self._wake.set()

    async def tie_prompts(self) -> None:
        """Ask for tokens, one prompt after the other, until cancelled."""
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            request, body = self._waiting.popleft()
            try:
                status, tokens = await self._tokens(body)
            except (TimeoutError, OSError, UpstreamError, msgspec.MsgspecError, ValueError, OverflowError):
                status, tokens = NO_ANSWER, array("I")
            finally:
                self.bodies.give_back(body)
            if status == 200:
                self._tie(request, tokens)
            elif status not in PROMPTS_FAULT:
                self._tied.pop(request.prefix_hashes[-1], None)
                if status in NO_TOKENIZE:
                    self._refused()
                else:
                    await self._rest()

    def _tie(self, request: Request, tokens: "array[int]") -> None:
        self.failures = self.rests = 0
        hashes = request.prefix_hashes
        share = min(1.0, len(hashes) * request.prefix_block_tokens / max(1, request.prompt_tokens))
        self._apply(self.blocks.tie(hashes, share, tokens))

    def _refused(self) -> None:
        """Ask no more when it has said so often enough that it has no /tokenize."""
        self.failures += 1
        if self.failures < MAX_FAILURES:
            return
        self._drop_waiting()
        if not self._told:  # an engine may clear its cache often, and is then asked again
            self._told = True
            _say(f"{self.base_url} has no /tokenize: its cache events are not used")

    async def _rest(self) -> None:
        """Leave an engine that fails alone, twice as long each time, or until it is heard to begin anew.

        Nothing is kept for it meanwhile: what waited is asked for when it is answered again.
        """
        self.rests += 1
        if self.rests == MAX_FAILURES:
            _say(f"{self.base_url}/tokenize does not answer: it is asked again every {MAX_REST_S:g} s")
        self._drop_waiting()
        self._resting = True
        self._anew.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(MAX_REST_S, self.first_rest_s * 2 ** min(self.rests - 1, 16))):
                await self._anew.wait()
        self._resting = False

    def _drop_waiting(self) -> None:
        for request, body in self._waiting:
            self._tied.pop(request.prefix_hashes[-1], None)
            self.bodies.give_back(body)
        self._waiting.clear()

    async def _tokens(self, body: bytes) -> "tuple[int, array[int]]":
        """The status, and the tokens when it is 200. Raises what `fetch` and readers of JSON raise."""
        status, answer = await fetch(f"{self.base_url}/tokenize", TOKENIZE_TIMEOUT_S, self.link, body)
        if status != 200:
            return status, array("I")
        return status, array("I", msgspec.json.decode(answer, type=_Tokens).tokens)


def _say(what: str) -> None:
    print(f"steelyard: {what}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class KvLearner:
    """Hears of answers in a policy's place, and passes all on to it. tasks: kept alive by it."""

    inner: LearningPolicy | None
    followers: dict[int, EngineFollower]
    bodies: KeptBodies = field(default_factory=KeptBodies)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def sees(self, request: Request, body: bytes) -> None:
        """Keep a body until its answer has come."""
        if request.prefix_hashes and len(body) <= MAX_BODY_BYTES:
            self.bodies.keep(request.prefix_hashes[-1], body)

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
        body = self.bodies.pop(request.prefix_hashes[-1]) if request.prefix_hashes else b""
        follower = self.followers.get(pick.slot)
        if body and follower is not None:
            follower.answered(request, body)
        if self.inner is not None:
            self.inner.observe_finish(pick, request, total_s, output_tokens, cached_tokens, fleet, now_s)


def follow_kv_events(
    configuration: Configuration, pools: dict[str, Pool], index: PrefixIndex, meters: Meters
) -> None:
    """Begin to follow every engine that the configuration names, in the running loop. Raises ConfigError."""
    counts = KvEventCounts()
    bodies = KeptBodies()
    slot = -1
    for options in configuration.pools:
        learner = KvLearner(pools[options.name].learner, {}, bodies)
        for replica in options.replicas:
            slot += 1
            if not replica.kv_events:
                continue
            url = replica.url.rstrip("/")
            link = EngineLink.to(url, options.engine)
            follower = learner.followers[slot] = EngineFollower(slot, url, index, link, bodies=bodies)
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
