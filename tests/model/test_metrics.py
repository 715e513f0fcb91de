"""The seed's formulas and the field's."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.model import metrics

loads = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("states", "utilisation", "balance"),
    [
        ((0.4, 0.3, 0.2), 0.75, 0.00667),
        ((0.6, 0.3, 0.2), 0.6111, 0.02889),
        ((0.5, 0.5), 1.0, 0.0),
        ((), 1.0, 0.0),
    ],
)
def test_the_seeds_formulas_give_what_follows_from_them(
    states: tuple[float, ...], utilisation: float, balance: float
) -> None:
    assert metrics.utilisation(states) == pytest.approx(utilisation, abs=5e-5)
    assert metrics.balance_degree(states) == pytest.approx(balance, abs=5e-6)


@given(loads)
def test_even_is_best_and_all_on_one_is_worst(values: list[float]) -> None:
    assert 1 / len(values) - 1e-9 <= metrics.utilisation(values) <= 1 + 1e-9
    assert 1 / len(values) - 1e-9 <= metrics.jain_index(values) <= 1 + 1e-9
    assert metrics.balance_degree(values) >= 0
    assert metrics.max_over_mean(values) >= 1 - 1e-9


def test_jain_and_variation_of_one_busy_node_of_four() -> None:
    assert metrics.jain_index([4, 0, 0, 0]) == pytest.approx(0.25)
    assert metrics.coefficient_of_variation([4, 0, 0, 0]) == pytest.approx(math.sqrt(3))
    assert metrics.max_over_mean([4, 0, 0, 0]) == pytest.approx(4)


def test_percentiles_lie_between_their_neighbours() -> None:
    assert metrics.percentile([3, 1, 2], 0.5) == 2
    assert metrics.percentile([1, 2], 0.75) == pytest.approx(1.75)
    assert math.isnan(metrics.percentile([], 0.5))
    with pytest.raises(ValueError, match="fraction is 99"):
        metrics.percentile([1], 99)


def test_rates_of_nothing_are_nothing() -> None:
    assert metrics.throughput_per_s(5, 0) == 0
    assert metrics.goodput_per_s(6, 2) == 3
