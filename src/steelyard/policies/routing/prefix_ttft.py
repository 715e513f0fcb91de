"""Estimated time to first token, with prompt caches taken into account: the default.

For each candidate: the prompt tokens before this request's first token (queued ones, and this prompt's
that are not in its cache), and some for each request in its batch, over its speed. The least wins; among
those within 5 % of the least, one at random. Candidates are the holders of the longest
known prefix and a few sampled others, or all of a small fleet, so that the cost does not grow with the
fleet.

Speed is learned from each replica's own first tokens: work sent before it over the time it took. Until
a replica is heard it counts as the mean of the others. Cost: the same at any fleet size (benchmarks/results).
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
LEARNING_SHARE = 0.15
START_TOKENS_PER_S = 8000.0
OVERHEAD_TOKENS = 64.0  # what a request costs whatever its length: a scheduling step, a first decode
SLOWEST_TOKENS_PER_S, FASTEST_TOKENS_PER_S = 10.0, 10_000_000.0  # lying engines stay within reason


@dataclass(slots=True)
class _Learned:
    generation: int
    tokens_per_s: float


@dataclass(slots=True)
class PrefixTtft:
    """The default policy."""

    rng: Rng
    index: PrefixIndex = field(default_factory=PrefixIndex)
    _learned: dict[int, _Learned] = field(default_factory=dict)
    _known_tokens_per_s: float = 0.0  # the sum over `_learned`

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
        learned = self._learned.get(slot)
        if learned is not None and learned.generation == fleet.generations[slot]:
            speed = learned.tokens_per_s
        elif self._learned:
            speed = self._known_tokens_per_s / len(self._learned)
        else:
            speed = START_TOKENS_PER_S
        # Each request in flight costs about as much as some prompt tokens: it slows every step a little.
        work = fleet.queued_prompt_tokens[slot] + new_tokens + OVERHEAD_TOKENS * (1 + fleet.requests[slot])
        return work / (speed * fleet.weights[slot])

    def observe_first_token(
        self, pick: Pick, request: Request, ttft_s: float, fleet: Fleet, now_s: float
    ) -> None:
        """Learn a replica's speed from a first token."""
        if pick.work_tokens <= 0 or ttft_s <= 0:
            return
        speed = pick.work_tokens / ttft_s / fleet.weights[pick.slot]
        speed = min(max(speed, SLOWEST_TOKENS_PER_S), FASTEST_TOKENS_PER_S)
        generation = fleet.generations[pick.slot]
        learned = self._learned.get(pick.slot)
        before = learned.tokens_per_s if learned is not None else 0.0
        if learned is None or learned.generation != generation:
            if learned is not None:
                self.index.forget(pick.slot)
            self._learned[pick.slot] = _Learned(generation, speed)
        else:
            # The mean of times, not of speeds: one quick answer must not outweigh ten slow ones.
            slowness = (1 - LEARNING_SHARE) / before + LEARNING_SHARE / speed
            speed = learned.tokens_per_s = 1 / slowness
        # Kept as a running sum: adding up 1,000 replicas at each answer doubled the cost of a request.
        self._known_tokens_per_s += speed - before

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
