"""What looking costs: the statistics, and the clock that they stand on."""

import os
import random
import time

import psutil
from benchmarks.console_effect import Slice, median_and_interval, rows, spent_ns


def test_the_interval_holds_the_median_and_shrinks_with_more_pairs() -> None:
    rng = random.Random(7)
    few = [rng.gauss(1.01, 0.02) for _ in range(10)]
    many = [rng.gauss(1.01, 0.02) for _ in range(400)]
    (middle, low, high), (_, less, more) = (median_and_interval(each, rng) for each in (few, many))
    assert low <= middle <= high
    assert more - less < high - low
    assert less < 1.01 < more


def test_pairs_cancel_what_drifts() -> None:
    # The machine gets slower all the time; looking adds a hundredth.
    quiet = [Slice(100.0 + step, 0.03) for step in range(40)]
    watched = [Slice(1.01 * (100.0 + step), 0.05) for step in range(40)]
    still, looked = rows(quiet, watched, "overview")
    assert looked.startswith("| overview | 40 | 120.7 | +1.0 % (+1.0 to +1.0) | 5.0 |")
    assert still.startswith("| nobody | 40 | 119.5 |")


def test_processor_time_is_counted_finer_than_a_tick() -> None:
    here = [psutil.Process(os.getpid())]
    before = spent_ns(here)
    until_s = time.process_time() + 0.002
    while time.process_time() < until_s:
        pass
    assert spent_ns(here) - before > 1_000_000
