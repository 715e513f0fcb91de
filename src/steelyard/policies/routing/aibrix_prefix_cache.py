"""AIBrix prefix-cache: the longest prefix among those that are not busier than most.

When (most − least requests) > 8, the fewest requests in flight; else, by share of the prompt that matches
(most first) and by requests (fewest first), the first replica with at most mean + one standard deviation of
requests; else the fewest. After aibrix:pkg/plugins/gateway/algorithms/prefix_cache.go (defaults of the code;
its README says 16 and 2). Ties go to one at random. Cost: it must look at all eligible replicas.
"""

import math
from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.prefix_index import DEFAULT_CAPACITY_BLOCKS, PrefixIndex
from steelyard.policies.ties import least_slot

IMBALANCE = 8
DEVIATIONS = 1.0


@dataclass(slots=True)
class AibrixPrefixCache:
    """Prefix among the not too busy."""

    rng: Rng
    index: PrefixIndex = field(default_factory=PrefixIndex)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick by prefix, then by load."""
        requests, slots = fleet.requests, eligible.slots
        held = self.index.matches(slots, request.prefix_hashes)
        loads = [requests[slot] for slot in slots]
        reason = "imbalance"
        candidates = slots
        if max(loads) - min(loads) <= IMBALANCE and any(held.values()):
            mean = math.fsum(loads) / len(loads)
            deviation = math.sqrt(math.fsum((load - mean) ** 2 for load in loads) / len(loads))
            bound = mean + DEVIATIONS * deviation
            candidates = tuple(slot for slot in slots if requests[slot] <= bound)
            longest = max(held[slot] for slot in candidates)
            candidates = tuple(slot for slot in candidates if held[slot] == longest)
            reason = "prefix"
        slot = least_slot(candidates, requests.__getitem__, self.rng)
        if request.prefix_hashes:
            capacity = fleet.kv_capacity_tokens[slot] // request.prefix_block_tokens
            self.index.insert(slot, request.prefix_hashes, capacity or DEFAULT_CAPACITY_BLOCKS, held[slot])
        return Pick(slot, reason, (slot,), (requests[slot],), held[slot] * request.prefix_block_tokens)
