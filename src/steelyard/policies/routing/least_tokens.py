"""Least outstanding tokens: the fewest tokens still to be processed, prompt and answer together, for its
weight.

A request of 30,000 prompt tokens is not one of 30: counting requests hides that. Prompt tokens count
until the first token is back, expected output tokens until the end. Ties go to one at random. Cost: it
must look at all eligible replicas.
"""

from dataclasses import dataclass

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.request import Request
from steelyard.model.routing_policy import Pick


@dataclass(slots=True)
class LeastTokens:
    """Join the queue with the least work, counted in tokens."""

    rng: Rng

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the least outstanding work, this request's included."""
        prompt, output, weights = fleet.queued_prompt_tokens, fleet.output_tokens, fleet.weights
        own = request.prompt_tokens + request.output_tokens
        ties: list[int] = []
        least = 0.0
        for slot in eligible.slots:
            load = (prompt[slot] + output[slot] + own) / weights[slot]
            if not ties or load < least:
                least, ties = load, [slot]
            elif load == least:
                ties.append(slot)
        slot = ties[0] if len(ties) == 1 else ties[int(self.rng.random() * len(ties))]
        return Pick(slot, "least-tokens", (slot,), (least,))
