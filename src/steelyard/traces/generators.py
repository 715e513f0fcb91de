"""Generated loads: arrivals that are Poisson, bursty or follow the day; groups that share a prefix; and
conversations whose turns wait for the answers before them.

Every one takes its chance from the generator that is handed in, so a seed names a load.
"""

import math
from collections.abc import Callable, Iterator
from random import Random

from steelyard.traces.generator import draw_lengths
from steelyard.traces.request import TraceRequest

DAY_S = 86_400.0
BLOCK_TOKENS = 256


def poisson_times(rng: Random, rate_per_s: float) -> Iterator[float]:
    """Arrivals without memory."""
    now_s = 0.0
    while True:
        now_s += rng.expovariate(rate_per_s)
        yield now_s


def gamma_times(rng: Random, rate_per_s: float, shape: float = 0.5) -> Iterator[float]:
    """Gaps that are gamma-distributed: burstier than Poisson below a shape of 1."""
    now_s = 0.0
    while True:
        now_s += rng.gammavariate(shape, 1 / (shape * rate_per_s))
        yield now_s


def varying_times(rng: Random, rate_at: Callable[[float], float], most_per_s: float) -> Iterator[float]:
    """Poisson arrivals at a rate that changes, by thinning; `most_per_s` bounds the rate."""
    for now_s in poisson_times(rng, most_per_s):
        if rng.random() * most_per_s < rate_at(now_s):
            yield now_s


def diurnal_times(
    rng: Random, rate_per_s: float, swing: float = 0.6, period_s: float = DAY_S
) -> Iterator[float]:
    """A mean rate with a trough at the beginning and a peak half a period later.

    swing: 0..1, how far the rate goes from the mean.
    """

    def rate_at(now_s: float) -> float:
        return rate_per_s * (1 - swing * math.cos(2 * math.pi * now_s / period_s))

    return varying_times(rng, rate_at, rate_per_s * (1 + swing))


def conversations(rng: Random, times: Iterator[float], count: int) -> list[TraceRequest]:
    """Requests of Azure's conversation lengths at given times, sharing nothing."""
    requests = []
    for _ in range(count):
        prompt_tokens, output_tokens = draw_lengths(rng)
        requests.append(
            TraceRequest(arrival_s=next(times), prompt_tokens=prompt_tokens, output_tokens=output_tokens)
        )
    return requests


def shared_prefix_groups(
    rng: Random,
    *,
    groups: int = 150,
    users: int = 5,
    shared_tokens: int = 6000,
    own_tokens: int = 1200,
    output_tokens: int = 250,
    from_per_s: float = 3.0,
    to_per_s: float = 60.0,
    span_s: float = 480.0,
) -> list[TraceRequest]:
    """A published benchmark's load: each request is of a random user of a random group, and asks something
    new behind the group's prefix; Poisson arrivals at a rate that rises linearly.

    A user's questions share only the group's prefix, so `users` says how many ask, not what is shared.
    """
    shared_blocks = shared_tokens // BLOCK_TOKENS
    own_blocks = (shared_tokens + own_tokens) // BLOCK_TOKENS - shared_blocks
    requests: list[TraceRequest] = []
    fresh = groups * users * shared_blocks

    def rate_at(now_s: float) -> float:
        return from_per_s + (to_per_s - from_per_s) * now_s / span_s

    for now_s in varying_times(rng, rate_at, max(from_per_s, to_per_s)):
        if now_s > span_s:
            return requests
        first = (rng.randrange(groups * users) // users) * shared_blocks
        fresh += own_blocks
        requests.append(
            TraceRequest(
                arrival_s=now_s,
                prompt_tokens=shared_tokens + own_tokens,
                output_tokens=output_tokens,
                prefix_blocks=(
                    *range(first + 1, first + shared_blocks + 1),
                    *range(fresh + 1, fresh + own_blocks + 1),
                ),
                block_tokens=BLOCK_TOKENS,
            )
        )
    return requests


def sessions(
    rng: Random,
    times: Iterator[float],
    count: int,
    *,
    mean_turns: float = 4.0,
    think_s: float = 20.0,
    systems: int = 20,
    system_tokens: int = 1024,
) -> list[TraceRequest]:
    """Conversations begun at given times, `count` turns in all, each with the whole history as its prompt.

    A turn comes after an exponential time of thinking about the answer before it, however long that took.
    systems: system prompts, of which each conversation has one at random.
    """
    requests: list[TraceRequest] = []
    fresh = systems * (system_tokens // BLOCK_TOKENS + 1)
    session = 0
    while len(requests) < count:
        session += 1
        now_s = next(times)
        system = rng.randrange(systems) * (system_tokens // BLOCK_TOKENS + 1)
        blocks = [system + at + 1 for at in range(system_tokens // BLOCK_TOKENS)]
        tokens, pause_s = system_tokens, 0.0
        for _ in range(1 + int(rng.expovariate(1 / max(1e-9, mean_turns - 0.5)))):
            question, output_tokens = draw_lengths(rng)
            tokens += question
            while len(blocks) < tokens // BLOCK_TOKENS:
                fresh += 1
                blocks.append(fresh)
            requests.append(
                TraceRequest(
                    arrival_s=now_s,
                    prompt_tokens=tokens,
                    output_tokens=output_tokens,
                    prefix_blocks=tuple(blocks),
                    block_tokens=BLOCK_TOKENS,
                    session=session,
                    think_s=pause_s,
                )
            )
            tokens += output_tokens
            pause_s = rng.expovariate(1 / think_s)
            now_s += pause_s
    requests.sort(key=lambda request: request.arrival_s)
    return requests[:count]
