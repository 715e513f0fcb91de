"""Fleets in plain memory."""

from collections.abc import Sequence

from steelyard.model.fleet import Fleet


def fleet_of(*requests: int, weights: Sequence[float] | None = None) -> Fleet:
    """A fleet with so many requests in flight on each replica."""
    count = len(requests)
    return Fleet(
        version=1,
        ids=[f"replica-{slot}" for slot in range(count)],
        generations=[1] * count,
        weights=list(weights) if weights is not None else [1.0] * count,
        kv_capacity_tokens=[0] * count,
        requests=list(requests),
        queued_prompt_tokens=[100 * each for each in requests],
        output_tokens=[10 * each for each in requests],
    )
