"""The routing benchmark: what it calls a tie, and that it goes on where it was cut short."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from benchmarks.routing_cases import EQUAL, Case, is_kept, kept_or_simulated

from benchmarks import routing, routing_cases
from steelyard.simulation.report import SimulationReport
from steelyard.traces.generators import conversations, poisson_times

SMALL = Case(
    "small",
    "small",
    EQUAL[:2],
    lambda seed: conversations(Random(seed), poisson_times(Random(seed), 2.0), 30),
)


def reports(policy: str, *shares: float) -> list[SimulationReport]:
    one = routing_cases.simulated("random", SMALL, 1)
    return [replace(one, policy=policy, goodput_share=share) for share in shares]


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [((0.90, 0.91, 0.92), "better"), ((0.80, 0.86, 0.82), "tie"), ((0.70, 0.71, 0.72), "worse")],
)
def test_a_difference_within_its_interval_is_a_tie(ours: tuple[float, ...], verdict: str) -> None:
    runs = {
        "prefix-ttft": reports("prefix-ttft", *ours),
        "lmetric": reports("lmetric", 0.82, 0.83, 0.84),
        "random": reports("random", 0.99),  # one seed: nothing to be paired with
        "oracle": reports("oracle", 1.0, 1.0, 1.0),
    }
    line = routing.beside(runs, routing.share_in_slo, "in SLO", ".2%", more_is_better=True)
    assert line.startswith("| in SLO | lmetric | 83.00% ")
    assert line.endswith(f"| {verdict} |")


def test_a_run_is_kept_and_read_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_cases, "KEPT", tmp_path)
    assert not is_kept("random", SMALL, 1)
    first = kept_or_simulated("random", SMALL, 1)
    assert is_kept("random", SMALL, 1)
    monkeypatch.setattr(routing_cases, "simulated", lambda *_: pytest.fail("it was kept"))
    assert kept_or_simulated("random", SMALL, 1) == first
    assert "random" in routing.section(SMALL, {"prefix-ttft": [first] * 2, "random": [first] * 2})
