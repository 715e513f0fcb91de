"""What a replay amounts to: latencies of what was answered, and goodput, in which refusals and errors are
misses.
"""

import math
from collections import Counter
from dataclasses import asdict, dataclass

from steelyard.model.metrics import goodput_per_s, percentile
from steelyard.replay.client import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a request must meet to count as good."""

    ttft_s: float = 2.0
    tpot_s: float = 0.1

    def met_by(self, outcome: Outcome) -> bool:
        """Whether a request was answered whole and in time."""
        tpot_s = 0.0 if math.isnan(outcome.tpot_s) else outcome.tpot_s
        return outcome.kind == "ok" and outcome.ttft_s <= self.ttft_s and tpot_s <= self.tpot_s


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Seconds."""

    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, values: list[float]) -> "Quantiles":
        """Of the values that are numbers."""
        known = [value for value in values if not math.isnan(value)]
        return cls(*(percentile(known, fraction) for fraction in (0.5, 0.9, 0.99)))


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

    def as_json(self) -> dict[str, object]:
        """Plain values; NaN becomes null."""
        cleaned: dict[str, object] = _without_nan(asdict(self))
        return cleaned | {"lost": self.lost}


def _without_nan(value: object) -> dict[str, object]:
    def clean(each: object) -> object:
        if isinstance(each, dict):
            return {key: clean(inner) for key, inner in each.items()}
        return None if isinstance(each, float) and math.isnan(each) else each

    cleaned = clean(value)
    return cleaned if isinstance(cleaned, dict) else {}


def summarise(outcomes: list[Outcome], span_s: float, objective: Objective) -> ReplayReport:
    """Sum up."""
    answered = [outcome for outcome in outcomes if outcome.kind == "ok"]
    met = sum(objective.met_by(outcome) for outcome in outcomes)
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
