"""Least outstanding tokens: the fewest tokens still to be processed, prompt and answer together, for its
weight.

A request of 30,000 prompt tokens is not one of 30: counting requests hides that. Prompt tokens count
until the first token is back, expected output tokens until the end. Ties go to one at random. Cost: it
must look at all eligible replicas.
"""

from dataclasses import dataclass

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.ties import least_slot


@dataclass(slots=True)
class LeastTokens:
    """Join the queue with the least work, counted in tokens."""

    rng: Rng

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the least outstanding work, this request's included."""
        prompt, output, weights = fleet.queued_prompt_tokens, fleet.output_tokens, fleet.weights
        own = request.prompt_tokens + request.output_tokens

        def load_of(slot: int) -> float:
            return (prompt[slot] + output[slot] + own) / weights[slot]

        slot = least_slot(eligible.slots, load_of, self.rng)
        return Pick(slot, "least-tokens", (slot,), (load_of(slot),))
