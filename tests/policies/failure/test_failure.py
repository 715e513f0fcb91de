"""Ejection, retry budgets, slow start."""

from steelyard.policies.failure.outlier import OutlierDetector
from steelyard.policies.failure.retry_budget import RetryBudget
from steelyard.policies.failure.slow_start import slow_start_share


def test_ejects_after_failures_in_a_row_and_longer_each_time() -> None:
    outliers = OutlierDetector(consecutive_failures=3, base_ejection_s=1, max_ejection_s=3)
    assert [outliers.failed(0, 4, 0.0) for _ in range(3)] == [False, False, True]
    assert outliers.ejected_until_s(0) == 1
    assert outliers.failed(0, 4, 2.0)
    assert outliers.ejected_until_s(0) == 4
    assert outliers.failed(0, 4, 10.0)
    assert outliers.ejected_until_s(0) == 13


def test_a_success_clears_the_row() -> None:
    outliers = OutlierDetector(consecutive_failures=2)
    outliers.failed(0, 4, 0.0)
    assert outliers.succeeded(0)
    assert not outliers.failed(0, 4, 0.0)


def test_never_ejects_more_than_its_share_nor_the_last_one() -> None:
    outliers = OutlierDetector(consecutive_failures=1, max_ejected_fraction=0.5)
    assert [outliers.failed(slot, 4, 0.0) for slot in range(4)] == [True, True, False, False]
    assert not OutlierDetector(consecutive_failures=1).failed(0, 1, 0.0)


def test_a_storm_of_failures_gets_a_share_of_retries() -> None:
    budget = RetryBudget(0.2, 1.0)
    retries = 0
    for number in range(1_000):
        budget.request_started(number * 0.001)
        retries += budget.try_spend(number * 0.001)
    # A fifth of the requests, the second's minimum, and what a calm had saved.
    assert 190 <= retries <= 200 + 1 + 10


def test_a_returning_replica_grows_into_its_share() -> None:
    assert [slow_start_share(since, 10) for since in (0, 5, 10, 20)] == [0.1, 0.5, 1.0, 1.0]
    assert slow_start_share(0, 0) == 1.0
