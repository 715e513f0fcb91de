"""What a request is held to, and how its times are summed up: the same for a replay and a simulation."""

import math
from dataclasses import dataclass

from steelyard.model.metrics import percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a request must meet to count as good."""

    ttft_s: float = 2.0
    tpot_s: float = 0.1

    def met(self, ttft_s: float, tpot_s: float) -> bool:
        """Whether an answer that came whole came in time. tpot_s: NaN for an answer of one token."""
        return ttft_s <= self.ttft_s and (math.isnan(tpot_s) or tpot_s <= self.tpot_s)


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


def without_nan(value: dict[str, object]) -> dict[str, object]:
    """The same for JSON, which has no NaN: null, one level deep."""

    def clean(each: object) -> object:
        if isinstance(each, dict):
            return {key: clean(inner) for key, inner in each.items()}
        return None if isinstance(each, float) and math.isnan(each) else each

    return {key: clean(each) for key, each in value.items()}
