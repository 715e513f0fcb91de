"""vLLM production-stack's prefix-aware router: the longest prefix among those that were ever sent it.

The prompt is walked down a trie of chunks of 128 characters that is never evicted; of the replicas at the
deepest chunk, one at random, whatever its load; when not even the first chunk is known, all are. The prompt
is then remembered for whoever is picked. After production-stack:src/vllm_router/routers/routing_logic.py
and prefix/hashtrie.py (no settings besides the chunk). Differs: chunks are the request's blocks. Cost: it
must look at all eligible replicas.
"""

from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.policies.ties import least_slot

NEVER_EVICTED = 1 << 40


@dataclass(slots=True)
class ProductionStackPrefix:
    """Prefix, and nothing else."""

    rng: Rng
    index: PrefixIndex = field(default_factory=PrefixIndex)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick a holder of the longest prefix."""
        hashes = request.prefix_hashes
        held = self.index.matches(eligible.slots, hashes)
        slot = least_slot(eligible.slots, lambda each: -held[each], self.rng)
        if hashes:
            self.index.insert(slot, hashes, NEVER_EVICTED, held[slot])
        reason = "prefix" if held[slot] else "no-prefix"
        return Pick(slot, reason, (slot,), (-held[slot],), held[slot] * request.prefix_block_tokens)
