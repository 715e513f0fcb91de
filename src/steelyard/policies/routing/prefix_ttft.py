"""Estimated time to first token, with prompt caches taken into account: the default.

For each candidate: the prompt tokens before this request's first token (queued ones, and this prompt's
that are not in its cache, which count twice: they also delay those who come after), the output tokens still
expected there, and some for each request in its batch, over its speed. The least wins; among those within
5 % of the least, one at random. Candidates are the holders of the longest known prefix and a few sampled
others, or all of a small fleet, so that the cost does not grow with the fleet.

Speed is learned from each replica's own first tokens: work sent before them over the time they took, both
sums fading, drawn towards the fleet's until enough is heard. (Fading single ratios instead were so noisy
that equal replicas got unequal loads: in SLO on the Mooncake conversation at twice its speed 39 %, not 51.)
Cost: the same at any fleet size (benchmarks/results).
"""

from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.request import Request
from steelyard.model.routing_policy import Pick
from steelyard.policies.prefix_index import DEFAULT_CAPACITY_BLOCKS, PrefixIndex
from steelyard.policies.ties import one_of

SAMPLED = 6
MAX_HOLDERS = 4
NEAR = 1.05
KEPT_SHARE = 0.98  # of what was heard, at each first token: the last 50 count most
DOUBT_S = 2.0  # seconds of first tokens that the fleet's speed counts for, beside a replica's own
MISS_WEIGHT = 2.0
START_TOKENS_PER_S = 8000.0
OVERHEAD_TOKENS = 64.0  # what a request costs whatever its length: a scheduling step, a first decode
SLOWEST_TOKENS_PER_S, FASTEST_TOKENS_PER_S = 10.0, 10_000_000.0  # lying engines stay within reason


@dataclass(slots=True)
class _Heard:
    """What first tokens told of a replica, fading: work for its weight, and the time it took."""

    generation: int
    work_tokens: float = 0.0
    time_s: float = 0.0


@dataclass(slots=True)
class PrefixTtft:
    """The default policy."""

    rng: Rng
    index: PrefixIndex = field(default_factory=PrefixIndex)
    _heard: dict[int, _Heard] = field(default_factory=dict)
    # Sums over `_heard`, kept as they change: adding up 1,000 replicas a pick would double its cost.
    _all: _Heard = field(default_factory=lambda: _Heard(0, START_TOKENS_PER_S, 1.0))

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the least estimated time to first token."""
        hashes, block_tokens = request.prefix_hashes, request.prefix_block_tokens
        candidates = self._candidates(eligible)
        blocks, holders = self.index.match(hashes) if hashes else (0, ())
        if blocks and len(candidates) < len(eligible.slots):
            usable = [slot for slot in holders if slot in eligible.members][:MAX_HOLDERS]
            candidates = (*usable, *(slot for slot in candidates if slot not in usable))
        cached = [self._cached_blocks(slot, hashes, blocks, holders) * block_tokens for slot in candidates]
        prompt_tokens = request.prompt_tokens
        scores = [
            self._estimate_s(slot, fleet, max(0, prompt_tokens - tokens))
            for slot, tokens in zip(candidates, cached, strict=True)
        ]
        bound = min(scores) * NEAR
        near = [at for at, score in enumerate(scores) if score <= bound]
        at = one_of(near, self.rng)
        slot, tokens = candidates[at], cached[at]
        if hashes:
            capacity = fleet.kv_capacity_tokens[slot] // block_tokens or DEFAULT_CAPACITY_BLOCKS
            self.index.insert(slot, hashes, capacity)
        work = fleet.queued_prompt_tokens[slot] + max(0, prompt_tokens - tokens) + OVERHEAD_TOKENS
        return Pick(slot, "prefix" if tokens else "estimate", candidates, tuple(scores), tokens, work)

    def _candidates(self, eligible: Eligible) -> tuple[int, ...]:
        slots = eligible.slots
        if len(slots) <= SAMPLED + 2:
            return slots
        count, random = len(slots), self.rng.random
        return tuple({slots[int(random() * count)]: None for _ in range(SAMPLED)})

    def _cached_blocks(
        self, slot: int, hashes: tuple[int, ...], blocks: int, holders: tuple[int, ...]
    ) -> int:
        """Blocks of the prompt that one replica probably holds; `blocks` is the most that anyone does."""
        if not blocks or slot in holders:
            return blocks
        return self.index.matched_blocks(slot, hashes)

    def _estimate_s(self, slot: int, fleet: Fleet, new_tokens: int) -> float:
        speed = self._all.work_tokens / self._all.time_s
        heard = self._heard.get(slot)
        if heard is not None and heard.generation == fleet.generations[slot]:
            speed = (heard.work_tokens + speed * DOUBT_S) / (heard.time_s + DOUBT_S)
        # Each request in flight costs about as much as some prompt tokens: it slows every step a little.
        batch = OVERHEAD_TOKENS * (1 + fleet.requests[slot]) + fleet.output_tokens[slot]
        work = fleet.queued_prompt_tokens[slot] + MISS_WEIGHT * new_tokens + batch
        return work / (speed * fleet.weights[slot])

    def observe_first_token(
        self, pick: Pick, request: Request, ttft_s: float, fleet: Fleet, now_s: float
    ) -> None:
        """Learn a replica's speed from a first token."""
        if pick.work_tokens <= 0 or ttft_s <= 0:
            return
        slot, everyone = pick.slot, self._all
        work_tokens = pick.work_tokens / fleet.weights[slot]
        time_s = min(max(ttft_s, work_tokens / FASTEST_TOKENS_PER_S), work_tokens / SLOWEST_TOKENS_PER_S)
        heard = self._heard.get(slot)
        if heard is None or heard.generation != fleet.generations[slot]:
            if heard is not None:
                self.index.forget(slot)
                everyone.work_tokens -= heard.work_tokens
                everyone.time_s -= heard.time_s
            heard = self._heard[slot] = _Heard(fleet.generations[slot])
        everyone.work_tokens += work_tokens - (1 - KEPT_SHARE) * heard.work_tokens
        everyone.time_s += time_s - (1 - KEPT_SHARE) * heard.time_s
        heard.work_tokens = heard.work_tokens * KEPT_SHARE + work_tokens
        heard.time_s = heard.time_s * KEPT_SHARE + time_s

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
        """An engine that had less in its cache than believed has forgotten: believe it."""
        if cached_tokens >= 0 and pick.matched_tokens > 2 * cached_tokens + 2 * request.prefix_block_tokens:
            self.index.forget(pick.slot)
