"""What a replay amounts to: latencies of what was answered, and goodput, in which refusals and errors are
misses.
"""

from collections import Counter
from dataclasses import asdict, dataclass

from steelyard.model.metrics import goodput_per_s
from steelyard.replay.client import Outcome
from steelyard.reports.objectives import Objective, Quantiles, without_nan


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """The figures of one replay."""

    requests: int
    span_s: float
    kinds: dict[str, int]
    ttft_s: Quantiles
    tpot_s: Quantiles
    total_s: Quantiles
    output_tokens: int
    goodput_per_s: float
    goodput_share: float
    first_errors: list[str]

    @property
    def lost(self) -> int:
        """Requests that failed before any of their answer was seen, refused ones included."""
        return self.kinds.get("failed", 0) + self.kinds.get("refused", 0)

    @property
    def broken(self) -> int:
        """Requests that failed, or whose answers were cut."""
        return self.kinds.get("failed", 0) + self.kinds.get("cut", 0)

    def as_json(self) -> dict[str, object]:
        """Plain values; NaN becomes null."""
        return without_nan(asdict(self)) | {"lost": self.lost}


def summarise(outcomes: list[Outcome], span_s: float, objective: Objective) -> ReplayReport:
    """Sum up."""
    answered = [outcome for outcome in outcomes if outcome.kind == "ok"]
    met = sum(objective.met(outcome.ttft_s, outcome.tpot_s) for outcome in answered)
    errors = [f"{outcome.status or '-'} {outcome.error}" for outcome in outcomes if outcome.kind != "ok"]
    return ReplayReport(
        requests=len(outcomes),
        span_s=span_s,
        kinds=dict(Counter(outcome.kind for outcome in outcomes)),
        ttft_s=Quantiles.of([outcome.ttft_s for outcome in answered]),
        tpot_s=Quantiles.of([outcome.tpot_s for outcome in answered]),
        total_s=Quantiles.of([outcome.total_s for outcome in answered]),
        output_tokens=sum(outcome.tokens for outcome in outcomes),
        goodput_per_s=goodput_per_s(met, span_s),
        goodput_share=met / len(outcomes) if outcomes else 0.0,
        first_errors=errors[:5],
    )
