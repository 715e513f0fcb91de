"""vLLM production-stack's load-aware prefix score: the share that is cached, less the load above the mean.

score = matched / prompt − β · (requests − mean requests) / max(1, mean requests), β = 1; the greatest wins.
After production-stack#1035, which mends its prefix router's rush to the first holder. Differs: what is cached
comes from what was sent (there, from LMCache's controller). Ties go to one at random. Cost: it must look at
all eligible replicas.
"""

from dataclasses import dataclass, field
from typing import Final

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.prefix_index import DEFAULT_CAPACITY_BLOCKS, PrefixIndex
from steelyard.policies.ties import least_slot

BETA: Final = 1.0


@dataclass(slots=True)
class ProductionStackLoadAware:
    """Prefix less load."""

    rng: Rng
    index: PrefixIndex = field(default_factory=PrefixIndex)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the greatest score."""
        slots, requests, block_tokens = eligible.slots, fleet.requests, request.prefix_block_tokens
        held = self.index.matches(slots, request.prefix_hashes)
        mean = sum([requests[slot] for slot in slots]) / len(slots)
        prompt_tokens = max(1, request.prompt_tokens)

        def shortfall_of(slot: int) -> float:
            load = BETA * (requests[slot] - mean) / max(1.0, mean)
            return load - held[slot] * block_tokens / prompt_tokens

        slot = least_slot(slots, shortfall_of, self.rng)
        if request.prefix_hashes:
            capacity = fleet.kv_capacity_tokens[slot] // block_tokens
            self.index.insert(slot, request.prefix_hashes, capacity or DEFAULT_CAPACITY_BLOCKS, held[slot])
        reason = "prefix" if held[slot] else "no-prefix"
        return Pick(slot, reason, (slot,), (shortfall_of(slot),), held[slot] * block_tokens)
