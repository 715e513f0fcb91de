"""vLLM router's smetric: a conversation stays where its prompt is cached while it meets its time there.

The holder of the longest prefix, if that is over half of what was ever sent of this prompt, and if what is
queued there and the prompt's rest, at the rate seen (the 90th percentile of the last 64 prompts', none before
eight), take at most 1 s + 62.5 ms a thousand prompt tokens, or if they take longer everywhere; else the least
product of queued work and requests in flight. Work is new prompt tokens (the cost of attention is off by
default), released at the first token. After vllm-project/router:src/policies/smetric.rs and its defaults, and
arXiv 2607.08565. Differs: the previous turn is not read from the messages, but is the longest prefix of the
prompt that anyone holds, so the first condition holds whenever there is one. Ties go to one at random, where
the original takes turns. Cost: it must look at all eligible replicas.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.policies.ties import least_slot

OBJECTIVE_S: Final = 1.0
OBJECTIVE_TOKEN_S: Final = 62.5e-6
RATES: Final = 64
LEAST_RATES: Final = 8
QUANTILE: Final = 0.9
TREE_TOKENS: Final = (1 << 26) // 4  # a worker's tree holds 2²⁶ characters


@dataclass(slots=True)
class VllmSmetric:
    """Stay while the objective is met, else balance work."""

    rng: Rng
    index: PrefixIndex = field(default_factory=PrefixIndex)
    _rates: dict[int, deque[float]] = field(default_factory=dict)
    _rate: dict[int, float] = field(default_factory=dict)
    _generations: dict[int, int] = field(default_factory=dict)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the holder, or the least product."""
        slots, hashes, block_tokens = eligible.slots, request.prefix_hashes, request.prefix_block_tokens
        queued, requests = fleet.queued_prompt_tokens, fleet.requests
        held = self.index.matches(slots, hashes)
        allowed_s = OBJECTIVE_S + OBJECTIVE_TOKEN_S * request.prompt_tokens

        def work_of(slot: int) -> int:
            return queued[slot] + max(0, request.prompt_tokens - held[slot] * block_tokens)

        def meets(slot: int) -> bool:
            rate = self._rate.get(slot)
            fresh = self._generations.get(slot) != fleet.generations[slot]
            return rate is None or fresh or work_of(slot) / rate <= allowed_s

        slot, reason = least_slot(slots, lambda each: -held[each], self.rng), "prefix"
        if not held[slot] or not (meets(slot) or not any(meets(each) for each in slots)):
            slot, reason = least_slot(slots, lambda each: work_of(each) * requests[each], self.rng), "work"
        if hashes:
            self.index.insert(slot, hashes, TREE_TOKENS // block_tokens, held[slot])
        return Pick(slot, reason, (slot,), (work_of(slot),), held[slot] * block_tokens)

    def observe_first_token(
        self, pick: Pick, request: Request, ttft_s: float, fleet: Fleet, now_s: float
    ) -> None:
        """Learn how quickly a replica works."""
        slot, work = pick.slot, request.prompt_tokens - pick.matched_tokens
        if self._generations.get(slot) != fleet.generations[slot]:
            self._generations[slot] = fleet.generations[slot]
            self._rates[slot] = deque[float](maxlen=RATES)
            self._rate.pop(slot, None)
        if ttft_s <= 0.0 or work <= 0:
            return
        rates = self._rates[slot]
        rates.append(work / ttft_s)
        if len(rates) >= LEAST_RATES:
            self._rate[slot] = sorted(rates)[round((len(rates) - 1) * QUANTILE)]

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
        """The end of an answer says nothing of prompts."""
