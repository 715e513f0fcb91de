"""Dynamo's KV router: the least cost in blocks, of the prompts to be computed and the blocks in use.

cost = prefill_scale · max(prefill blocks queued + this prompt's − those it has cached, 0) + active decode
blocks + this request's new blocks, as ai-dynamo/dynamo computes it with no decay and no lower cache tiers;
prefill_scale is 1 in one registered version and 32 in the other, temperature 0. Two inputs are estimates:
what is cached comes from what was sent (Dynamo can read events), and active decode blocks are the output
tokens expected of the requests in flight. Ties go to one at random, as there. Cost: it must look at all
eligible replicas.
"""

from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.prefix_index import DEFAULT_CAPACITY_BLOCKS, PrefixIndex
from steelyard.policies.ties import least_slot


@dataclass(slots=True)
class DynamoCost:
    """Blocks to compute and blocks in use."""

    rng: Rng
    prefill_scale: float = 1.0
    index: PrefixIndex = field(default_factory=PrefixIndex)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the least cost."""
        block_tokens = request.prefix_block_tokens
        prompt_blocks = request.prompt_tokens / block_tokens
        held = self.index.matches(eligible.slots, request.prefix_hashes)

        def cost_of(slot: int) -> float:
            prefill = fleet.queued_prompt_tokens[slot] / block_tokens + prompt_blocks - held[slot]
            new_blocks = max(0.0, prompt_blocks - held[slot])
            decode = fleet.output_tokens[slot] / block_tokens
            return self.prefill_scale * max(prefill, 0.0) + decode + new_blocks

        slot = least_slot(eligible.slots, cost_of, self.rng)
        if request.prefix_hashes:
            capacity = fleet.kv_capacity_tokens[slot] // request.prefix_block_tokens
            self.index.insert(slot, request.prefix_hashes, capacity or DEFAULT_CAPACITY_BLOCKS, held[slot])
        return Pick(slot, "dynamo-cost", (slot,), (cost_of(slot),), held[slot] * block_tokens)


def dynamo_cost_32(rng: Rng) -> DynamoCost:
    """With prompts weighing 32 times as much as blocks in use."""
    return DynamoCost(rng, prefill_scale=32.0)
