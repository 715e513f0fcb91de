"""Durations and nodes, learned from ends."""

from random import Random

import pytest

from steelyard.policies.history import DurationHistory, NodeHistory


def test_nothing_is_known_before_a_job_has_ended() -> None:
    history = DurationHistory(unknown_s=77)
    prediction = history.predict("ann", "train", 8)
    assert (prediction.expected_s, prediction.samples, prediction.group) == (77, 0, "nothing")


def test_the_narrowest_group_with_enough_ends_answers() -> None:
    history = DurationHistory(pull_samples=0)
    for at in range(3):
        history.observe("ann", "train", 8, 100, at)
        history.observe("ann", "test", 8, 10, at)
        history.observe("bob", "train", 1, 1000, at)
    assert history.predict("ann", "train", 8, now_s=3).group == "user, name, GPUs"
    assert history.predict("ann", "train", 8, now_s=3).expected_s == pytest.approx(100)
    assert history.predict("ann", "new", 8, now_s=3).expected_s == pytest.approx(55)
    assert history.predict("ann", "new", 2, now_s=3).group == "user"
    assert history.predict("eve", "new", 1, now_s=3).expected_s == pytest.approx(1000)
    assert history.predict("eve", "new", 64, now_s=3).group == "all"


def test_few_ends_are_drawn_towards_the_wider_group() -> None:
    history = DurationHistory()
    for at in range(3):
        history.observe("ann", "train", 8, 100, 0)
        history.observe("ann", f"other{at}", 8, 1000, 0)
    assert 100 < history.predict("ann", "train", 8).expected_s < 550


def test_quantiles_and_the_time_left_of_a_job_that_runs_already() -> None:
    rng = Random(2)
    history = DurationHistory()
    for _ in range(2000):
        history.observe("ann", "train", 8, rng.expovariate(1 / 500), 0)
    prediction = history.predict("ann", "train", 8)
    # Buckets are half a doubling wide, so a quantile is at most 1.42 times too high.
    assert 346 * 0.9 < prediction.median_s < 346 * 1.5
    assert 1151 * 0.9 < prediction.late_s < 1151 * 1.5
    later = history.predict("ann", "train", 8, ran_s=1000)
    assert later.expected_s == pytest.approx(500, rel=0.3), "an exponential has no memory"


def test_a_heavy_tail_is_longer_the_longer_it_lasts() -> None:
    rng = Random(2)
    history = DurationHistory()
    for _ in range(5000):
        history.observe("ann", "train", 1, 60 * rng.paretovariate(1.2), 0)
    left = [history.predict("ann", "train", 1, ran_s).expected_s for ran_s in (60, 600, 6000)]
    assert left[0] < left[1] < left[2]


def test_old_ends_fade() -> None:
    history = DurationHistory(half_life_s=100, pull_samples=0)
    for at in range(50):
        history.observe("ann", "train", 1, 1000, at)
    for at in range(10):
        history.observe("ann", "train", 1, 10, 1000 + at)
    assert history.predict("ann", "train", 1, now_s=1010).expected_s < 50
    for at in range(10):  # weights are scaled down before they outgrow floating point
        history.observe("ann", "train", 1, 20, 1e6 + at)
    assert history.predict("ann", "train", 1, now_s=1e6).expected_s == pytest.approx(20, rel=0.01)


def test_a_node_on_which_a_task_ran_long_is_avoided_next_time_and_forgiven_later() -> None:
    """Section 4.3 of the seed, third point."""
    history = NodeHistory()
    for _ in range(2):
        for node_id, duration_s in (("a", 100), ("b", 180), ("c", 100)):
            history.observe("ann", "train", node_id, duration_s)
    assert history.slow_nodes("ann", "train") == ("b",)
    assert history.slowness("ann", "train", "b") == pytest.approx(1.8)
    assert history.slow_nodes("ann", "other") == ()
    for _ in range(8):
        history.observe("ann", "train", "b", 100)
    assert history.slow_nodes("ann", "train") == ()


def test_one_bad_run_is_no_verdict() -> None:
    history = NodeHistory()
    history.observe("ann", "train", "a", 100)
    history.observe("ann", "train", "b", 500)
    assert history.slow_nodes("ann", "train") == ()
