"""Preble's E2: exploit a cached prefix when it is most of the prompt, else explore by load.

Exploit, when the longest cached part is longer than the rest: of its holders the one with the least load.
Explore: the least of load + eviction cost + own missing prompt. Load is the prompt and output work sent in
the last 3 minutes; the eviction cost is what must be computed again of what the prompt would push out, had
the evicted been used in that time. When the busiest has over twice the load of the least busy, exploiting
goes to the latter (and so replicates a hot prefix). After arXiv 2407.00023; the window, the threshold and
the costs are restated from the paper, not read in its code. Work is in prompt tokens, an output token
counting as ten. Ties go to one at random. Cost: it must look at all eligible replicas.
"""

from collections import deque
from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.prefix_index import DEFAULT_CAPACITY_BLOCKS, PrefixIndex
from steelyard.policies.ties import least_slot

WINDOW_S = 180.0
SHIFT_RATIO = 2.0
OUTPUT_WEIGHT = 10.0


@dataclass(slots=True)
class PrebleE2:
    """Exploitation and exploration."""

    rng: Rng
    index: PrefixIndex = field(default_factory=PrefixIndex)
    _recent: deque[tuple[float, int, float, int]] = field(default_factory=deque)
    _work: dict[int, float] = field(default_factory=dict)
    _sent_tokens: dict[int, int] = field(default_factory=dict)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick by prefix or by load."""
        self._forget(now_s - WINDOW_S)
        slots, hashes, block_tokens = eligible.slots, request.prefix_hashes, request.prefix_block_tokens
        held = self.index.matches(slots, hashes)
        work, longest = self._work, max(held.values())
        cached = longest * block_tokens

        def load_of(slot: int) -> float:
            return work.get(slot, 0.0)

        def cost_of(slot: int) -> float:
            missing = max(0, request.prompt_tokens - held[slot] * block_tokens)
            return load_of(slot) + missing + self._evicted(slot, missing, fleet)

        reason, candidates = "explore", slots
        if cached > request.prompt_tokens - cached:
            holders = tuple(slot for slot in slots if held[slot] == longest)
            slot = least_slot(holders, load_of, self.rng)
            if load_of(slot) <= SHIFT_RATIO * min(map(load_of, slots)) or load_of(slot) == 0:
                reason, candidates = "exploit", holders
        slot = least_slot(candidates, load_of if reason == "exploit" else cost_of, self.rng)
        new_tokens = max(0, request.prompt_tokens - held[slot] * block_tokens)
        self._note(slot, new_tokens, new_tokens + OUTPUT_WEIGHT * request.output_tokens, now_s)
        if hashes:
            capacity = fleet.kv_capacity_tokens[slot] // block_tokens
            self.index.insert(slot, hashes, capacity or DEFAULT_CAPACITY_BLOCKS, held[slot])
        return Pick(slot, reason, (slot,), (load_of(slot),), held[slot] * block_tokens)

    def _evicted(self, slot: int, missing: int, fleet: Fleet) -> float:
        """Tokens pushed out that were used within the window: what was sent in it over the cache's size."""
        sent, capacity = self._sent_tokens.get(slot, 0) + missing, fleet.kv_capacity_tokens[slot]
        return float(min(missing, max(0, sent - capacity))) if capacity else 0.0

    def _note(self, slot: int, tokens: int, work: float, now_s: float) -> None:
        self._recent.append((now_s, slot, work, tokens))
        self._work[slot] = self._work.get(slot, 0.0) + work
        self._sent_tokens[slot] = self._sent_tokens.get(slot, 0) + tokens

    def _forget(self, before_s: float) -> None:
        recent = self._recent
        while recent and recent[0][0] < before_s:
            _, slot, work, tokens = recent.popleft()
            self._work[slot] -= work
            self._sent_tokens[slot] -= tokens
