"""Generated loads."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from random import Random

import pytest

from steelyard.traces.generators import (
    diurnal_times,
    gamma_times,
    poisson_times,
    sessions,
    shared_prefix_groups,
)


@pytest.mark.parametrize(
    "times",
    [
        poisson_times(Random(1), 4.0),
        gamma_times(Random(1), 4.0),
        diurnal_times(Random(1), 4.0, period_s=100.0),
    ],
)
def test_arrivals_have_their_mean_rate_and_come_in_order(times: Iterator[float]) -> None:
    arrivals = list(islice(times, 8_000))
    assert arrivals == sorted(arrivals)
    # 8,000 gaps: 5 sigma of the mean is 6 % for Poisson, 8 % for gamma of shape 0.5.
    assert 8_000 / arrivals[-1] == pytest.approx(4.0, rel=0.1)


def test_a_day_has_its_trough_first_and_its_peak_half_a_period_later() -> None:
    counts = Counter(int(at / 25) % 4 for at in islice(diurnal_times(Random(1), 4.0, period_s=100.0), 20_000))
    assert counts[0] + counts[3] < 0.7 * (counts[1] + counts[2])


def test_groups_share_their_prefix_and_nothing_else() -> None:
    load = shared_prefix_groups(Random(1), groups=10, span_s=30.0)
    assert load == shared_prefix_groups(Random(1), groups=10, span_s=30.0)
    assert {each.prompt_tokens for each in load} == {7200}
    shared = 6000 // 256
    prefixes = {each.prefix_blocks[:shared] for each in load}
    assert len(prefixes) == 10
    own = Counter(block for each in load for block in each.prefix_blocks[shared:])
    assert set(own.values()) == {1}
    # The rate rises from 3 to 60 a second: the last third has most of them.
    assert sum(each.arrival_s > 20 for each in load) > 0.5 * len(load)


def test_a_conversation_brings_its_history_along() -> None:
    load = sessions(Random(1), poisson_times(Random(2), 1.0), 300)
    assert len(load) == 300
    turns: dict[int, list[tuple[int, ...]]] = {}
    for request in load:
        assert len(request.prefix_blocks) == request.prompt_tokens // request.block_tokens
        before = turns.setdefault(request.session, [])
        if before:
            assert request.think_s > 0
            assert request.prefix_blocks[: len(before[-1])] == before[-1]
        before.append(request.prefix_blocks)
    assert max(map(len, turns.values())) > 3
