"""A generated conversation load whose quantiles were fitted to Azure's 2023 conversation trace (CC-
BY-4.0).

Prompt and answer lengths come from tables of 21 quantiles, linear between them; gaps between requests
are gamma-distributed with the trace's shape 0.835 (a little burstier than Poisson). Lengths are drawn
independently, which the trace's are not quite.
"""

import random

from steelyard.traces.request import TraceRequest

# The 0, 5, 10 ... 100 % quantiles.
_PROMPT_TOKENS = (2, 181, 207, 372, 387, 396, 403, 414, 703, 984, 1020, 1045, 1071, 1097, 1130, 1189, 1315,
                  1876, 2734, 4083, 14050)  # fmt: skip
_OUTPUT_TOKENS = (
    7,
    41,
    54,
    67,
    77,
    85,
    91,
    96,
    103,
    113,
    129,
    151,
    177,
    217,
    384,
    395,
    400,
    411,
    424,
    451,
    1000,
)
GAP_SHAPE = 0.835
REQUESTS_PER_S = 5.53


def generate_conversation(
    count: int, rng: random.Random, rate_per_s: float = REQUESTS_PER_S
) -> list[TraceRequest]:
    """`count` requests at a mean rate, in order of time."""
    requests: list[TraceRequest] = []
    now_s = 0.0
    for _ in range(count):
        requests.append(
            TraceRequest(
                arrival_s=now_s,
                prompt_tokens=_draw(_PROMPT_TOKENS, rng),
                output_tokens=_draw(_OUTPUT_TOKENS, rng),
            )
        )
        now_s += rng.gammavariate(GAP_SHAPE, 1 / (GAP_SHAPE * rate_per_s))
    return requests


def draw_lengths(rng: random.Random) -> tuple[int, int]:
    """(prompt tokens, output tokens) of one request."""
    return _draw(_PROMPT_TOKENS, rng), _draw(_OUTPUT_TOKENS, rng)


def _draw(quantiles: tuple[int, ...], rng: random.Random) -> int:
    place = rng.random() * (len(quantiles) - 1)
    below = int(place)
    return round(quantiles[below] + (place - below) * (quantiles[below + 1] - quantiles[below]))
