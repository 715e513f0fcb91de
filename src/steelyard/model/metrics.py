"""How well load is spread and work is done: the seed's formulas, and the field's.

`utilisation` and `balance_degree` are the seed's (section 4), kept exactly:
S = (0.4, 0.3, 0.2) gives 0.75 and 0.00667. The article prints other numbers for its
example; they do not follow from its formulas (docs/seed.md).
"""

import math
from collections.abc import Sequence


def utilisation(loads: Sequence[float]) -> float:
    """ΣS_i / (n · max S_i), in 0..1: 1 when all nodes are as loaded as the most loaded one.

    loads: one value a node, 0 or more. An idle or empty fleet counts as perfectly even: 1.
    """
    peak = max(loads, default=0.0)
    return sum(loads) / (len(loads) * peak) if peak > 0 else 1.0


def balance_degree(loads: Sequence[float]) -> float:
    """Σ(S_i − mean S)² / n, the population variance: smaller is better, 0 is even."""
    if not loads:
        return 0.0
    mean = math.fsum(loads) / len(loads)
    return math.fsum((load - mean) ** 2 for load in loads) / len(loads)


def max_over_mean(loads: Sequence[float]) -> float:
    """The busiest node's load over the mean load: 1 is even, n is all on one. 1 for an idle fleet."""
    return 1.0 / utilisation(loads)


def jain_index(loads: Sequence[float]) -> float:
    """(Σx)² / (n · Σx²), in 1/n..1: 1 is even (Jain, Chiu and Hawe, 1984). 1 for an idle fleet."""
    squares = math.fsum(load * load for load in loads)
    return math.fsum(loads) ** 2 / (len(loads) * squares) if squares > 0 else 1.0


def coefficient_of_variation(loads: Sequence[float]) -> float:
    """Standard deviation over mean, 0 is even. 0 for an idle fleet."""
    mean = math.fsum(loads) / len(loads) if loads else 0.0
    return math.sqrt(balance_degree(loads)) / mean if mean > 0 else 0.0


def throughput_per_s(completed: int, span_s: float) -> float:
    """Completed requests or tasks a second over a span; 0 for an empty span."""
    return completed / span_s if span_s > 0 else 0.0


def percentile(values: Sequence[float], fraction: float) -> float:
    """The value below which `fraction` of `values` lie, linear between neighbours; NaN for none.

    fraction: 0..1, so 0.99 for p99. Raises ValueError outside of that.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction is {fraction}: it must be in 0..1 (0.99 for p99)")
    if not values:
        return math.nan
    ordered = sorted(values)
    position = fraction * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    share = position - below
    # Not below + (above − below) · share: that overshoots by a rounding error when both are equal.
    return ordered[below] * (1 - share) + ordered[above] * share if share else ordered[below]


def goodput_per_s(met_slo: int, span_s: float) -> float:
    """Requests a second that met their objective; refused and failed ones are misses by not being counted."""
    return throughput_per_s(met_slo, span_s)
