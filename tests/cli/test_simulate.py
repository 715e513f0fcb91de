"""`steelyard simulate` and `steelyard plan`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from steelyard.cli.main import steelyard
from steelyard.cli.plan import read_objective
from steelyard.model.errors import ConfigError


def output_of(*arguments: str) -> str:
    result = CliRunner().invoke(steelyard, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    "load",
    [
        "poisson:rate=9",
        "gamma",
        "diurnal:rate=20,period=30",
        "groups:groups=9,span=20,output=5",
        "sessions:rate=3",
    ],
)
def test_simulates_generated_loads(load: str) -> None:
    arguments = (
        "--limit",
        "40",
        "--replicas",
        "2",
        "--json",
        "--policy",
        "prefix-ttft",
        "--policy",
        "oracle",
    )
    reports = json.loads(output_of("simulate", load, *arguments))
    assert [report["requests"] for report in reports] == [40, 40]


def test_tries_each_policy_at_each_speed_through_a_scenario(tmp_path: Path) -> None:
    scenario, page = tmp_path / "day.toml", tmp_path / "out.html"
    scenario.write_text('[[event]]\nat_s = 3\nwhat = "fail"\nreplica = 0\n')
    text = output_of(
        *("simulate", "generated", "--limit", "60", "--replicas", "3", "--policy", "random"),
        *("--speed", "1", "--speed", "4", "--scenario", str(scenario), "--report", str(page)),
    )
    assert "random ×4" in text
    html = page.read_text()
    assert html.count("<svg") == 3 + 2 * 2
    for title in (
        "Time to first token",
        "Time per output token",
        "Cache hits",
        "Load a replica",
        "Queue a replica",
    ):
        assert title in html


def test_plans_how_many_replicas_are_needed() -> None:
    arguments = ("plan", "generated", "--limit", "200", "--speed", "6", "--slo", "ttft=3s,tpot=80ms")
    assert "replicas keep 95% of the requests in the SLO" in output_of(*arguments)
    found = json.loads(output_of(*arguments, "--json"))
    shares = {int(size): report["goodput_share"] for size, report in found["curve"].items()}
    assert shares[found["fewest"]] >= 0.95 > shares[found["fewest"] - 1]
    assert "not even 1 replicas" in output_of(*arguments, "--most", "1")


@pytest.mark.parametrize("text", ["", "ttft", "ttft=2", "ttft=0s", "tbt=1s", "ttft=2s;tpot=1s", "ttft=-1s"])
def test_an_objective_that_cannot_be_read_is_said_so(text: str) -> None:
    with pytest.raises(ConfigError, match="must look like ttft=2s,tpot=50ms"):
        read_objective(text)


def test_reads_objectives() -> None:
    objective = read_objective("tpot=50ms")
    assert objective.ttft_s == 2.0
    assert objective.tpot_s == pytest.approx(0.05)


@pytest.mark.parametrize("load", ["sessions:speed=3", "groups:groups=x", "poisson:rate=-1", "gamma:rate"])
def test_settings_that_a_load_does_not_have_are_named(load: str) -> None:
    result = CliRunner().invoke(steelyard, ["simulate", load])
    assert isinstance(result.exception, ConfigError)
    assert "is no setting of" in str(result.exception)
