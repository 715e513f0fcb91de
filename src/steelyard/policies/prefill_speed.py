"""How long engines work on prompts, learned from first tokens.

One affine law for all replicas, seconds = start + token · tokens, by least squares over what was heard,
fading; a prompt of no tokens is taken to last a step, which keeps the law sound when all prompts are alike.
A replica's slowness is what its prompts lasted over what the law says, both sums fading and drawn
towards 1: so the mix of long and short prompts that a replica got says nothing of its speed. (Fading tokens
over time of each replica instead were so noisy that equal ones got unequal loads: 0.70 instead of 0.71 in
SLO on the Mooncake conversation at twice its speed.) Cost: 1 µs a first token.
"""

from dataclasses import dataclass, field
from typing import Final

from steelyard.model.fleet import Fleet

LAW_KEPT: Final = 0.995
OWN_KEPT: Final = 0.99
DOUBT: Final = 25.0  # mean prompts that the common law counts for, beside a replica's own
STEP_WEIGHT: Final = 10.0  # prompts that the step counts for in the law
START_STEP_S: Final = 0.05
START_TOKEN_S: Final = 1e-4
LEAST_S: Final = 1e-4  # below, two first tokens came of one step, and say nothing
LONG_ANSWER: Final = 16
SLOWEST_TOKEN_S, FASTEST_TOKEN_S = 0.1, 1e-7  # lying engines stay within reason


@dataclass(slots=True)
class PrefillSpeed:
    """What was learned, by slot. slowness: over the replica's weight, 1 for a common one."""

    start_s: float = START_STEP_S
    token_s: float = START_TOKEN_S
    step_s: float = START_STEP_S
    slowness: list[float] = field(default_factory=list)
    version: int = -1
    _generations: list[int] = field(default_factory=list)
    _expected_s: list[float] = field(default_factory=list)
    _took_s: list[float] = field(default_factory=list)
    # Count, tokens, seconds, tokens², tokens · seconds: two prompts before anything is heard.
    _sums: list[float] = field(default_factory=lambda: [2.0, 8100.0, 0.91, 64e6, 6880.0])

    def take_in(self, fleet: Fleet) -> list[int]:
        """Follow a fleet that changed; return the slots that have a new replica."""
        new: list[int] = []
        for slot, generation in enumerate(fleet.generations):
            if slot == len(self._generations):
                self._generations.append(generation)
                self._expected_s.append(0.0)
                self._took_s.append(0.0)
                self.slowness.append(1.0)
            elif self._generations[slot] != generation:
                self._generations[slot] = generation
                self._expected_s[slot] = self._took_s[slot] = 0.0
                new.append(slot)
            self._weigh(slot, fleet.weights[slot])
        self.version = fleet.version
        return new

    def heard_prompt(self, slot: int, tokens: int, seconds: float, weight: float) -> None:
        """A replica worked on so many new tokens for so long, alone."""
        if seconds < LEAST_S:
            return
        seconds = min(max(seconds, tokens * FASTEST_TOKEN_S), 1.0 + tokens * SLOWEST_TOKEN_S)
        law_s = self.start_s + tokens * self.token_s
        self._expected_s[slot] = self._expected_s[slot] * OWN_KEPT + law_s
        self._took_s[slot] = self._took_s[slot] * OWN_KEPT + seconds
        self._weigh(slot, weight)
        count, all_tokens, all_s, squares, products = (LAW_KEPT * sum_ for sum_ in self._sums)
        count += 1.0
        all_tokens += tokens
        all_s += seconds
        squares += tokens * tokens
        products += tokens * seconds
        self._sums = [count, all_tokens, all_s, squares, products]
        count += STEP_WEIGHT
        all_s += STEP_WEIGHT * self.step_s
        slope = (count * products - all_tokens * all_s) / (count * squares - all_tokens * all_tokens)
        self.token_s = min(max(slope, FASTEST_TOKEN_S), SLOWEST_TOKEN_S)
        self.start_s = max((all_s - self.token_s * all_tokens) / count, LEAST_S)

    def heard_answer(self, total_s: float, output_tokens: int) -> None:
        """An answer of so many tokens took so long; short ones say little of a step.

        The quickest ones say what a step is when no prompt is worked on beside: believed soon when they are
        quicker than thought, and hardly when not: a busy day must not pass for a slow engine.
        """
        if output_tokens >= LONG_ANSWER:
            gap_s = min(max(total_s / output_tokens, LEAST_S), 1.0) - self.step_s
            self.step_s += gap_s * (0.05 if gap_s < 0.0 else 2e-5)

    def _weigh(self, slot: int, weight: float) -> None:
        doubt_s = DOUBT * self._sums[2] / self._sums[0]
        slowness = (self._took_s[slot] + doubt_s) / (self._expected_s[slot] + doubt_s)
        self.slowness[slot] = slowness / weight
