"""SGLang's cache_aware: the longest prefix when it is long enough, the least busy when load is uneven.

When (most − least requests) > 32 and most > 1.1 · least, the fewest requests in flight; else the replica
with the longest prefix when that is over half the prompt; else the fewest requests (newer versions; older
ones took the smallest tree). The prompt is remembered for whoever is picked. Defaults of
smg:model_gateway/src/policies/cache_aware.rs: threshold 0.5, absolute 32, relative 1.1, tree of 10,000.
Differs: the prefix is matched in hashed blocks, not in characters. Ties go to one at random, where the
original takes the first. Cost: it must look at all eligible replicas.
"""

from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.policies.ties import least_slot

CACHE_THRESHOLD = 0.5
BALANCE_ABSOLUTE = 32
BALANCE_RELATIVE = 1.1
MAX_TREE_BLOCKS = 10_000


@dataclass(slots=True)
class SglangCacheAware:
    """Prefix by threshold."""

    rng: Rng
    index: PrefixIndex = field(default_factory=PrefixIndex)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick by prefix while load is even, else by load."""
        requests, hashes = fleet.requests, request.prefix_hashes
        loads = [requests[slot] for slot in eligible.slots]
        most, least = max(loads), min(loads)
        held = self.index.matches(eligible.slots, hashes)
        matched_tokens = max(held.values()) * request.prefix_block_tokens
        if most - least > BALANCE_ABSOLUTE and most > BALANCE_RELATIVE * least:
            slot, reason = least_slot(eligible.slots, requests.__getitem__, self.rng), "imbalance"
        elif matched_tokens > CACHE_THRESHOLD * request.prompt_tokens:
            slot, reason = least_slot(eligible.slots, lambda each: -held[each], self.rng), "prefix"
        else:
            slot, reason = least_slot(eligible.slots, requests.__getitem__, self.rng), "no-prefix"
        if hashes:
            self.index.insert(slot, hashes, MAX_TREE_BLOCKS, held[slot])
        return Pick(slot, reason, (slot,), (requests[slot],), held[slot] * request.prefix_block_tokens)
