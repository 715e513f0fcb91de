"""The live benchmark: when a live run is what the simulator foretold."""

import random

from benchmarks.routing_live import CHANCES, agreement_row, requests_of, simulated

from steelyard.replay.client import Outcome
from steelyard.replay.report import ReplayReport, summarise
from steelyard.reports.objectives import Objective


def report(ttft_s: float) -> ReplayReport:
    outcomes = [Outcome("ok", 0.0, ttft_s, 0.03, ttft_s + 1, 40, 200) for _ in range(20)]
    return summarise(outcomes, 10.0, Objective(ttft_s=2.0, tpot_s=0.1))


def test_a_live_run_within_what_chance_makes_is_in_range_and_another_is_not() -> None:
    rng = random.Random(1)
    expected = [(0.5, 1.0 + rng.uniform(-0.2, 0.2)) for _ in range(CHANCES)]
    row = agreement_row("least", [report(0.5), report(1.1), report(1.3)], [expected] * 3)
    assert row.startswith("| least | 0.967 | 0.500 (0.500–0.500) | +93.3% | 1 of 3 |")
    assert row.endswith("| 1 of 3 |")


def test_simulated_runs_differ_in_chance_alone() -> None:
    requests = requests_of(1, 5.0)
    pairs = simulated("least-requests", requests)
    assert len(pairs) == CHANCES
    assert len(set(pairs)) > 1
    assert pairs == simulated("least-requests", requests)
