"""SGLang model gateway's least_load: least time to drain what is queued, plus what a full KV cache costs.

Seconds of a candidate = (prompt tokens queued there at the last poll + those sent there since) / tokens a
second + 0.15 · k / (1 − k), k being the use of its KV cache at the last poll, at most 0.999. Polls are ten
seconds apart; what was sent since keeps a whole interval's requests from one replica. Tokens a second are
those generated since the poll before, 2,000 when there were none. After smg, its
model_gateway/src/policies/least_load.rs, and its defaults. Differs: a poll reads the ledger, where smg asks
the engine (k is the tokens known to be there over the capacity, 0 where that is unknown; tokens are generated
when their answer ends), and so never fails, which spares the two ways in which smg goes on without one; the
tokens of a prompt are known, as on its gRPC path. Ties go to one at random, the original takes the first.
Cost: it must look at all eligible replicas.
"""

from dataclasses import dataclass, field
from typing import Final

from steelyard.model.chance import Rng
from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.ties import least_slot

KV_WEIGHT_S: Final = 0.15
TOKENS_PER_S: Final = 2000.0
POLL_S: Final = 10.0
MOST_USED: Final = 0.999


@dataclass(slots=True)
class _Report:
    """What a replica said at the last poll. sent_tokens, generated_tokens: since then."""

    generation: int
    at_s: float
    queued_tokens: int
    used_fraction: float
    tokens_per_s: float
    sent_tokens: int = 0
    generated_tokens: int = 0


@dataclass(slots=True)
class SmgLeastLoad:
    """Least time to drain, as far as the last poll tells."""

    rng: Rng
    _reports: dict[int, _Report] = field(default_factory=dict)

    def pick(self, request: Request, eligible: Eligible, fleet: Fleet, now_s: float) -> Pick:
        """Pick the least seconds."""
        seconds: dict[int, float] = {}
        for slot in eligible.slots:
            report = self._report(slot, fleet, now_s)
            used = report.used_fraction
            drain_s = (report.queued_tokens + report.sent_tokens) / report.tokens_per_s
            seconds[slot] = drain_s + KV_WEIGHT_S * used / (1.0 - used)
        slot = least_slot(eligible.slots, seconds.__getitem__, self.rng)
        self._reports[slot].sent_tokens += request.prompt_tokens
        return Pick(slot, "drain", (slot,), (seconds[slot],))

    def _report(self, slot: int, fleet: Fleet, now_s: float) -> _Report:
        """The last one, or a new one when that is old or of another replica."""
        report, generation = self._reports.get(slot), fleet.generations[slot]
        if report is not None and report.generation == generation and now_s - report.at_s < POLL_S:
            return report
        rate = 0.0
        if report is not None and report.generation == generation:
            rate = report.generated_tokens / (now_s - report.at_s)
        queued, capacity = fleet.queued_prompt_tokens[slot], fleet.kv_capacity_tokens[slot]
        used = min(MOST_USED, (queued + fleet.output_tokens[slot]) / capacity) if capacity else 0.0
        report = _Report(generation, now_s, queued, used, rate or TOKENS_PER_S)
        self._reports[slot] = report
        return report

    def observe_first_token(
        self, pick: Pick, request: Request, ttft_s: float, fleet: Fleet, now_s: float
    ) -> None:
        """The next poll will tell."""

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
        """Count what was generated."""
        report = self._reports.get(pick.slot)
        if report is not None:
            report.generated_tokens += output_tokens
