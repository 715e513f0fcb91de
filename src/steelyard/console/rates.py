"""What two samples of counters say of the time between them.

Quantiles come from a histogram: linear inside the bucket, so no finer than its bounds; in the bucket
without an upper bound, its lower one. Goodput counts answers of class 2xx, less those whose first token came
after the objective (split linearly where the objective lies inside a bucket).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from steelyard.model.gateway_sample import GatewaySample
from steelyard.model.metrics import balance_degree

USABLE = ("healthy", "starting")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Of a window. Quantiles are None when no first token came in it."""

    requests_per_s: float = 0.0
    goodput_per_s: float = 0.0
    errors_per_s: float = 0.0
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None


def rates(before: GatewaySample, after: GatewaySample, objective_s: float) -> Rates:
    """Between two samples; zeros when no time passed."""
    span_s = after.monotonic_s - before.monotonic_s
    if span_s <= 0:
        return Rates()
    ended = {name: count - before.requests.get(name, 0) for name, count in after.requests.items()}
    ttft = [now - then for now, then in zip(after.ttft_counts, before.ttft_counts, strict=True)]
    late = sum(ttft) - counted_below(ttft, after.ttft_bounds_s, objective_s)
    return Rates(
        requests_per_s=sum(ended.values()) / span_s,
        goodput_per_s=max(0.0, ended.get("2xx", 0) - late) / span_s,
        errors_per_s=ended.get("5xx", 0) / span_s,
        ttft_p50_s=quantile(ttft, after.ttft_bounds_s, 0.50),
        ttft_p95_s=quantile(ttft, after.ttft_bounds_s, 0.95),
    )


def fell(before: GatewaySample, after: GatewaySample) -> bool:
    """Whether the counters began anew between two samples, as a reload makes them."""
    return after.generation != before.generation or any(
        after.requests.get(name, 0) < count for name, count in before.requests.items()
    )


def quantile(counts: Sequence[int], bounds: Sequence[float], fraction: float) -> float | None:
    """The value below which `fraction` of a histogram lies; None when it is empty.

    counts: one a bucket, one more than `bounds`.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, seen = fraction * total, 0
    for index, (lower, upper) in enumerate(pairwise((0.0, *bounds))):
        if seen + counts[index] >= wanted and counts[index]:
            return lower + (upper - lower) * (wanted - seen) / counts[index]
        seen += counts[index]
    return bounds[-1]


def counted_below(counts: Sequence[int], bounds: Sequence[float], value: float) -> float:
    """How many of a histogram lie at or below a value."""
    below = 0.0
    for index, (lower, upper) in enumerate(pairwise((0.0, *bounds))):
        if value >= upper:
            below += counts[index]
        elif value > lower:
            below += counts[index] * (value - lower) / (upper - lower)
    return below


def in_flight_balance(sample: GatewaySample) -> float:
    """The balance degree of requests in flight over the replicas that may be given requests."""
    return balance_degree([each.in_flight for each in sample.replicas if each.state in USABLE])
