"""The adaptive limit finds the knee of a replica that it cannot see."""

from random import Random

import pytest

from steelyard.policies.admission.gradient import Gradient


def settle(knee: int, gradient: Gradient, rng: Random, observations: int = 4000) -> float:
    """Drive a replica whose tokens cost one unit up to the knee and grow in proportion above it."""
    limits = []
    for _ in range(observations):
        running = gradient.limit
        gradient.observe(0.01 * max(1.0, running / knee) * rng.uniform(0.9, 1.1), running)
        limits.append(running)
    return sum(limits[-500:]) / 500


@pytest.mark.parametrize("knee", [16, 64, 256])
def test_settles_near_the_knee(knee: int) -> None:
    # 1.5 is tolerated, so the limit rests between the knee and somewhat above its 1.5-fold.
    assert 0.8 * knee <= settle(knee, Gradient(4, 1000), Random(1)) <= 3.0 * knee + 8


def test_shrinks_when_tokens_get_slower_and_recovers() -> None:
    gradient = Gradient(4, 1000)
    for _ in range(500):
        gradient.observe(0.01, gradient.limit)
    before = gradient.limit
    for _ in range(30):
        gradient.observe(0.2, gradient.limit)
    assert gradient.limit < before / 2
    low = gradient.limit
    for _ in range(300):
        gradient.observe(0.01, gradient.limit)
    assert gradient.limit > 2 * low


def test_a_replica_that_became_slower_for_good_is_not_starved_for_ever() -> None:
    gradient = Gradient(4, 1000)
    for _ in range(300):
        gradient.observe(0.01, gradient.limit)
    for _ in range(2000):
        gradient.observe(0.1, gradient.limit)
    assert gradient.limit > 20


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    gradient = Gradient(4, 1000, start=20)
    for _ in range(1000):
        gradient.observe(0.01, 3)
    assert gradient.limit == 20


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_nonsense_is_ignored(value: float) -> None:
    gradient = Gradient(4, 100, start=20)
    gradient.observe(value, 100)
    assert gradient.limit == 20
