"""The Gateway API inference extension's default profile: weighted scores of queue 2, KV cache 2, prefix 3.

queue: (most − own) / (most − least) requests in flight, 1 when all are equal; KV: 1 − use; prefix: matched
blocks over the prompt's blocks. The greatest sum wins (picker max-score, ties shuffled). After
llm-d/llm-d-router. Estimates here: use is the tokens that the ledger knows to be on a replica over its
capacity, 0 where that is unknown; the prefix comes from what was sent, in blocks of the request, bounded at
31,250 a replica as there. Cost: it must look at all eligible replicas.
"""

from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.policies.ties import least_slot

QUEUE_WEIGHT, KV_WEIGHT, PREFIX_WEIGHT = 2.0, 2.0, 3.0
MAX_BLOCKS = 31_250


@dataclass(slots=True)
class InferenceExtension:
    """Three weighted scores."""

    rng: Rng
    index: PrefixIndex = field(default_factory=PrefixIndex)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the greatest sum of scores."""
        requests, hashes = fleet.requests, request.prefix_hashes
        loads = [requests[slot] for slot in eligible.slots]
        most, spread = max(loads), max(loads) - min(loads)
        held = self.index.matches(eligible.slots, hashes)

        def missing_score(slot: int) -> float:
            queue = (most - requests[slot]) / spread if spread else 1.0
            capacity = fleet.kv_capacity_tokens[slot]
            tokens = fleet.queued_prompt_tokens[slot] + fleet.output_tokens[slot]
            free = 1.0 - min(1.0, tokens / capacity) if capacity else 1.0
            prefix = held[slot] / len(hashes) if hashes else 0.0
            return -(QUEUE_WEIGHT * queue + KV_WEIGHT * free + PREFIX_WEIGHT * prefix)

        slot = least_slot(eligible.slots, missing_score, self.rng)
        if hashes:
            self.index.insert(slot, hashes, MAX_BLOCKS, held[slot])
        matched_tokens = held[slot] * request.prefix_block_tokens
        return Pick(slot, "scores", (slot,), (missing_score(slot),), matched_tokens)
