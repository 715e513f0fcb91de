"""What became of one simulated request."""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Answer:
    """Times are since the beginning of the trace; NaN for what never came.

    refused: it could never run on the replica that was picked, as its tokens exceed the cache, or nobody
        was there to take it.
    lost: its replica died after the first token had been sent, when it is too late for another one.
    """

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    slot: int = -1
    cached_tokens: int = 0
    first_s: float = math.nan
    end_s: float = math.nan
    refused: bool = False
    lost: bool = False
    attempts: int = 0

    @property
    def ttft_s(self) -> float:
        """Seconds from arrival to the first token."""
        return self.first_s - self.arrival_s

    @property
    def tpot_s(self) -> float:
        """Seconds a token after the first; NaN for an answer of one token."""
        if self.output_tokens < 2:
            return math.nan
        return (self.end_s - self.first_s) / (self.output_tokens - 1)
