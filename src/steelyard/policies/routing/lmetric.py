"""LMetric: the least product of the prompt tokens to be computed and the batch they join.

score = (queued prompt tokens + this prompt's tokens not in the cache) × (requests in flight + 1), the
parameter-free score of arXiv 2603.15202. A prompt that is wholly cached still counts one token, since the
last token of a prompt is always computed. What is cached is an estimate from what was sent, bounded by each
replica's capacity. Ties go to one at random. Cost: it must look at all eligible replicas.
"""

from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.prefix_index import DEFAULT_CAPACITY_BLOCKS, PrefixIndex
from steelyard.policies.ties import least_slot


@dataclass(slots=True)
class LMetric:
    """New prompt tokens times batch."""

    rng: Rng
    index: PrefixIndex = field(default_factory=PrefixIndex)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the least product."""
        queued, requests = fleet.queued_prompt_tokens, fleet.requests
        held = self.index.matches(eligible.slots, request.prefix_hashes)
        block_tokens = request.prefix_block_tokens

        def score_of(slot: int) -> float:
            new_tokens = max(1, request.prompt_tokens - held[slot] * block_tokens)
            return (queued[slot] + new_tokens) * (requests[slot] + 1)

        slot = least_slot(eligible.slots, score_of, self.rng)
        if request.prefix_hashes:
            capacity = fleet.kv_capacity_tokens[slot] // request.prefix_block_tokens
            self.index.insert(slot, request.prefix_hashes, capacity or DEFAULT_CAPACITY_BLOCKS, held[slot])
        return Pick(slot, "lmetric", (slot,), (score_of(slot),), held[slot] * block_tokens)
