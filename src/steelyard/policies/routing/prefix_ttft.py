"""The least estimated time to first token, counting what the request costs others: the default.

Seconds of a candidate = what is left of the prompts queued there + its own prompt's work · what a second of
work costs everyone + what its batch costs. In detail:

- own work: an affine time of the tokens that are not in its cache, learned from first tokens over all
  replicas (least squares, fading), times the replica's own slowness against that;
- what is left: the queue's work, which ends with a step of its own, less the time that has passed since the
  prompt at its head was begun, but for the two steps before it was worked on; a quarter at least is always
  left, and an engine that is late is believed to stay so for as long again;
- a second of work makes those wait who come before the queue is empty. Did nobody who comes later choose
  another replica, that were (queue + half the work) · ρ / (1 − ρ) / mean work of them (what a customer costs
  others in an M/G/1 queue: Haviv and Ritov, 1998); did all, ρ / (1 − ρ), however long the queue is. The mean
  of both counts; ρ is the share of replicas seen with a queue. So the busier the fleet, the more a cached
  prefix is worth, and the longer a prompt, the less it is queued behind others
  (docs/decisions/0023-what-a-prompt-costs-others.md);
- work stalls the answers under way, each a little;
- a batch slows every token by about a hundredth of a step for each request in it, and half of that cost is
  that of the others.

Stalls and tokens are weighed against waiting as twentyfold, the ratio of common objectives (2 s to the
first token, 100 ms a token). Ties go to one at random. Candidates are all of a small fleet; of a large one
the holders of the longest prefix and a few sampled others, so that the cost does not grow with the fleet.

The constants follow from that ratio. They were compared on loads that are also judged (generated sessions and
groups, the Mooncake conversation, Azure's); benchmarks/results/routing-held-out.md has loads on which none
was chosen.
"""

import math
from dataclasses import dataclass, field
from typing import Final

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.prefill_speed import PrefillSpeed
from steelyard.policies.prefix_index import DEFAULT_CAPACITY_BLOCKS, PrefixIndex

LOOK_AT_ALL: Final = 16
SAMPLED: Final = 8
NEAR: Final = 0.05
MOST_NEAR_S: Final = 1.0
LEAST_LEFT: Final = 0.25
IDLE_STARTS: Final = 2  # a prompt waits for the step under way and the one planned behind it
MOST_BATCH: Final = 80  # beyond this, a longer queue is worse than a larger batch
MOST_LATE_S: Final = 5.0  # an engine that is later than this may not be streaming at all
STALL_SHARE: Final = 0.01  # of a second's wait, for each answer under way that is stalled for a second
MOST_STALL_S: Final = 1.0  # a longer stall has spoilt an answer already
BATCH_STEPS: Final = 0.4  # steps that a request in the batch costs: 2 · 20 · a hundredth
MOST_BUSY: Final = 0.85  # beyond this, 1 / (1 − ρ) says more of noise than of load
BUSY_KEPT: Final = 0.98  # of the busy share, at each pick
WORK_KEPT: Final = 0.99  # of the mean work
STAYING: Final = 0.5  # of those who come later, who would come to the same replica whatever its queue


@dataclass(slots=True)
class PrefixTtft:
    """The default policy. index: may lie in memory that several workers share."""

    rng: Rng
    index: PrefixIndex = field(default_factory=PrefixIndex)
    _speed: PrefillSpeed = field(default_factory=PrefillSpeed)
    _busy: float = 0.3
    _work_s: float = 0.3  # mean of a prompt's

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the least cost."""
        slots, index, speed = eligible.slots, self.index, self._speed
        hashes, prompt_tokens = request.prefix_hashes, request.prompt_tokens
        large = len(slots) > LOOK_AT_ALL
        if large:
            slots = self._sample(eligible, hashes)
        if speed.version != fleet.version:
            self._take_in(fleet)
        held = index.held_by(slots, hashes) if hashes else None
        scores, least, busy = self._scores(request, slots, held, fleet, now_s)
        # Differences of a twentieth of the own work are noise of what was learned; of a very long prompt's,
        # they are seconds.
        bound = least + NEAR * min(MOST_NEAR_S, speed.start_s + prompt_tokens * speed.token_s)
        near = [at for at, score in enumerate(scores) if score <= bound]
        at = near[0] if len(near) == 1 else self._one_of(near, slots, fresh=bool(hashes))
        slot = slots[at]
        self._busy += (busy / len(slots) - self._busy) * (1 - BUSY_KEPT)
        queued = fleet.queued_prompt_tokens[slot]
        if not queued:
            index.set_head_us(slot, int(now_s * 1e6))
        blocks, block_tokens = held[at] if held is not None else 0, request.prefix_block_tokens
        cached = blocks * block_tokens
        new_tokens = max(1, prompt_tokens - cached)
        work_s = (speed.start_s + new_tokens * speed.token_s) * speed.slowness[slot]
        self._work_s += (work_s - self._work_s) * (1 - WORK_KEPT)
        if hashes:
            capacity = fleet.kv_capacity_tokens[slot] // block_tokens or DEFAULT_CAPACITY_BLOCKS
            index.insert(slot, hashes, capacity, blocks, named=large)
        reason = "prefix" if blocks else "estimate"
        return Pick(slot, reason, slots, tuple(scores), cached, queued + new_tokens)

    def _scores(
        self, request: Request, slots: tuple[int, ...], held: list[int] | None, fleet: Fleet, now_s: float
    ) -> tuple[list[float], float, int]:
        """(seconds a candidate, the least of them, how many have a queue)."""
        speed, index = self._speed, self.index
        queued_tokens, requests, slowness = fleet.queued_prompt_tokens, fleet.requests, speed.slowness
        token_s, start_s = speed.token_s, speed.start_s
        batch_s, idle_s = BATCH_STEPS * speed.step_s, IDLE_STARTS * start_s
        busy_share = self._busy if self._busy < MOST_BUSY else MOST_BUSY
        others = busy_share / (1.0 - busy_share)
        anywhere, here = 1.0 + (1.0 - STAYING) * others, STAYING * others / self._work_s
        prompt_tokens, block_tokens = request.prompt_tokens, request.prefix_block_tokens
        own_s = start_s + prompt_tokens * token_s
        busy, at, least = 0, 0, math.inf
        scores: list[float] = []
        for slot in slots:
            if held is not None:
                new_tokens = prompt_tokens - held[at] * block_tokens
                own_s = start_s + (new_tokens if new_tokens > 0 else 1) * token_s
                at += 1
            batch = requests[slot]
            delays = here * own_s * slowness[slot]
            seconds = own_s * (anywhere + 0.5 * delays)
            if batch:
                if batch > MOST_BATCH:
                    batch = MOST_BATCH
                stall_s = own_s if own_s < MOST_STALL_S else MOST_STALL_S
                seconds += stall_s * STALL_SHARE * batch
                queued = queued_tokens[slot]
                if queued:
                    busy += 1
                    wait_s = (start_s + queued * token_s) * slowness[slot]
                    passed_s = max(0.0, now_s - index.head_us(slot) * 1e-6 - idle_s)
                    left_s = wait_s - passed_s if passed_s < wait_s else min(MOST_LATE_S, passed_s - wait_s)
                    if left_s < LEAST_LEFT * wait_s:
                        left_s = LEAST_LEFT * wait_s
                    seconds += left_s * (1.0 + delays)
                seconds += batch * batch_s
            seconds *= slowness[slot]
            if seconds < least:
                least = seconds
            scores.append(seconds)
        return scores, least, busy

    def _one_of(self, near: list[int], slots: tuple[int, ...], *, fresh: bool) -> int:
        """One of equals: the one whose cache was filled least, so that cold prefixes go where there is room
        and caches turn over evenly.
        """
        if fresh:
            filled = [self.index.turned_over(slots[at]) for at in near]
            least = min(filled)
            near = [at for at, blocks in zip(near, filled, strict=True) if blocks == least]
        return near[int(self.rng.random() * len(near))]

    def _sample(self, eligible: Eligible, hashes: tuple[int, ...]) -> tuple[int, ...]:
        slots, members, random = eligible.slots, eligible.members, self.rng.random
        count = len(slots)
        holders = self.index.holders(hashes) if hashes else ()
        chosen = {slot: None for slot in holders if slot in members}
        for _ in range(SAMPLED):
            chosen[slots[int(random() * count)]] = None
        return tuple(chosen)

    def _take_in(self, fleet: Fleet) -> None:
        """The fleet changed: what a slot's former replica held and was is forgotten."""
        for slot in self._speed.take_in(fleet):
            self.index.forget(slot)

    def observe_first_token(
        self, pick: Pick, request: Request, ttft_s: float, fleet: Fleet, now_s: float
    ) -> None:
        """Learn from how long the engine worked on this prompt: since the first token before it, or since
        it was sent.
        """
        slot, index = pick.slot, self.index
        began_s = max(index.head_us(slot) * 1e-6, now_s - ttft_s)
        index.set_head_us(slot, int(now_s * 1e6))
        if self._speed.version != fleet.version:
            self._take_in(fleet)
        self._speed.heard_prompt(
            slot, max(1, request.prompt_tokens - pick.matched_tokens), now_s - began_s, fleet.weights[slot]
        )

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
        """Learn how long a step is, and how much the engine's cache keeps."""
        self._speed.heard_answer(total_s, output_tokens)
        if cached_tokens >= 0:
            self.index.learn(pick.slot, pick.matched_tokens, cached_tokens, request.prefix_block_tokens)
