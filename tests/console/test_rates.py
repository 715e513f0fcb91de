"""What two samples of counters say of the time between them."""

import pytest
from tests.harness.console_planes import BOUNDS_S, replica, sample

from steelyard.console.rates import Rates, counted_below, fell, in_flight_balance, quantile, rates


def test_rates_are_differences_over_the_time_between() -> None:
    before = sample(100.0, requests={"2xx": 10, "5xx": 1}, ttft_counts=(5, 5, 0, 0, 0))
    after = sample(110.0, requests={"2xx": 40, "5xx": 3}, ttft_counts=(15, 15, 0, 8, 2))
    found = rates(before, after, objective_s=2.0)
    assert (found.requests_per_s, found.errors_per_s) == (3.2, 0.2)
    assert found.goodput_per_s == pytest.approx((30 - 10) / 10)  # ten first tokens came after 2 s
    assert found.ttft_p50_s == pytest.approx(0.55)


def test_answers_that_do_not_stream_count_as_good_when_they_are_well() -> None:
    before, after = sample(0.0), sample(1.0, requests={"2xx": 7, "5xx": 0})
    assert rates(before, after, 2.0) == Rates(requests_per_s=7.0, goodput_per_s=7.0)


def test_no_time_is_no_rate() -> None:
    assert rates(sample(5.0), sample(5.0, requests={"2xx": 3}), 2.0) == Rates()


def test_a_clock_that_was_set_back_changes_no_rate() -> None:
    before = sample(5000.0, monotonic_s=70.0)
    after = sample(1400.0, monotonic_s=72.0, requests={"2xx": 6, "5xx": 0})
    assert rates(before, after, 2.0).requests_per_s == 3.0


def test_counters_that_began_anew_are_seen() -> None:
    assert fell(sample(0, requests={"2xx": 5}), sample(1, requests={"2xx": 4}))
    assert fell(sample(0, generation=1), sample(1, generation=2))
    assert not fell(sample(0, requests={"2xx": 5}), sample(1, requests={"2xx": 5}))


@pytest.mark.parametrize(
    ("counts", "fraction", "expected"),
    [
        ((0, 0, 0, 0, 0), 0.5, None),
        ((10, 0, 0, 0, 0), 0.5, 0.05),
        ((0, 10, 0, 0, 0), 1.0, 1.0),
        ((0, 0, 0, 0, 4), 0.5, 4.0),  # above the last bound nothing is known but that
        ((1, 0, 0, 1, 0), 0.95, pytest.approx(3.8)),
    ],
)
def test_quantiles_are_linear_inside_a_bucket(
    counts: tuple[int, ...], fraction: float, expected: float | None
) -> None:
    assert quantile(counts, BOUNDS_S, fraction) == expected


def test_what_lies_below_a_value_is_split_inside_its_bucket() -> None:
    assert counted_below((4, 4, 4, 4, 4), BOUNDS_S, 3.0) == pytest.approx(14)
    assert counted_below((4, 4, 4, 4, 4), BOUNDS_S, 100.0) == 16  # never those without an upper bound


def test_the_balance_leaves_out_replicas_that_get_nothing() -> None:
    now = sample(
        0.0,
        replica("a", in_flight=4),
        replica("b", in_flight=2),
        replica("c", state="draining", in_flight=90),
    )
    assert in_flight_balance(now) == 1.0
