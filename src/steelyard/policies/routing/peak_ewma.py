"""Peak EWMA: two random choices by expected wait, quick to believe bad news and slow to believe good.

cost = time to first token a prompt token, times (requests in flight + 1). An observation above the
average replaces it; one below moves it by exp(−Δt/τ), τ = 10 s (Finagle's PeakEwma). It is fed with
TTFT, never with whole durations, which say how long the answer was. A replica that was never heard
costs a penalty once it has requests in flight, so that it is tried but not flooded. Ties go to the
first sample, which is random. Cost: two draws.
"""

import math
from dataclasses import dataclass, field

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.ties import two_slots

DECAY_S = 10.0
PENALTY = 1e9
LEAST_TOKENS = 32  # below this a TTFT says more of the queue than of the prompt


@dataclass(slots=True)
class _Average:
    generation: int
    cost: float
    heard_s: float


@dataclass(slots=True)
class PeakEwma:
    """Two choices by peak-sensitive latency."""

    rng: Rng
    _averages: dict[int, _Average] = field(default_factory=dict)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the lesser of two expected waits."""
        first, second = two_slots(eligible.slots, self.rng)
        one, two = self._load(first, fleet, now_s), self._load(second, fleet, now_s)
        return Pick(second if two < one else first, "peak-ewma", (first, second), (one, two))

    def _load(self, slot: int, fleet: Fleet, now_s: float) -> float:
        average, pending = self._averages.get(slot), fleet.requests[slot]
        if average is None or average.generation != fleet.generations[slot]:
            return PENALTY + pending if pending else 0.0
        # Old news fades: a replica that was slow once is tried again.
        faded = average.cost * math.exp(-max(0.0, now_s - average.heard_s) / DECAY_S)
        return faded * (pending + 1)

    def observe_first_token(
        self, pick: Pick, request: Request, ttft_s: float, fleet: Fleet, now_s: float
    ) -> None:
        """Learn from a first token."""
        cost = max(0.0, ttft_s) / max(request.prompt_tokens, LEAST_TOKENS)
        average, generation = self._averages.get(pick.slot), fleet.generations[pick.slot]
        if average is None or average.generation != generation:
            self._averages[pick.slot] = _Average(generation, cost, now_s)
            return
        if cost >= average.cost:
            average.cost = cost
        else:
            keep = math.exp(-max(0.0, now_s - average.heard_s) / DECAY_S)
            average.cost = average.cost * keep + cost * (1 - keep)
        average.heard_s = now_s

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
        """The end of an answer says nothing new of the wait for its beginning."""
