"""`steelyard simulate-cluster`: what it prints, and what a mistake costs."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from steelyard.cli.main import steelyard
from steelyard.model.errors import SteelyardError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(steelyard, ["simulate-cluster", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    lines = [f"job-{at},{at * 10},{100 + at % 7 * 50},{1 + at % 4}" for at in range(60)]
    path = tmp_path / "jobs.csv"
    path.write_text("job_id,submitted_s,duration_s,gpus\n" + "\n".join(lines) + "\n")
    return path


def test_compares_policies_as_json(tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_text(
        "node_id,cpu_cores,gpus\n" + "".join(f"n{at},16,4\n" for at in range(5))
    )
    (tmp_path / "tasks.csv").write_text("task_id,cpu_cores,gpus\na,2,0.5\nb,4,1\nc,8,2\n")
    arguments = (
        "--nodes",
        str(tmp_path / "nodes.csv"),
        "--tasks",
        str(tmp_path / "tasks.csv"),
        "--seeds",
        "2",
    )
    first, second = json.loads(run(*arguments, "--placement", "best-fit", "--placement", "fgd", "--json"))
    assert (first["policy"], second["policy"], first["seeds"]) == ("best-fit", "fgd", 2)
    assert 80 < first["allocated"] <= 100


def test_prints_a_table_and_writes_a_page(tmp_path: Path) -> None:
    page = tmp_path / "out" / "page.html"
    printed = run("--nodes", "6x4", "--limit", "40", "--placement", "first-fit", "--report", str(page))
    assert "allocated" in printed
    assert "first-fit" in printed
    text = page.read_text()
    assert text.count("<svg") == 3
    assert "<script" not in text


def test_runs_a_queue_of_jobs(jobs: Path, tmp_path: Path) -> None:
    page = tmp_path / "queue.html"
    arguments = ("--nodes", "2x4", "--tasks", str(jobs), "--ordering", "fifo", "--ordering", "shortest")
    fifo, shortest = json.loads(run(*arguments, "--json", "--report", str(page)))
    assert (fifo["jobs"], shortest["jobs"], fifo["never"]) == (60, 60, 0)
    assert "hours" in page.read_text()


def test_places_jobs_at_their_recorded_times(jobs: Path) -> None:
    arguments = ("--nodes", "4x4", "--tasks", str(jobs), "--load", "recorded", "--placement", "worst-fit")
    (report,) = json.loads(run(*arguments, "--json"))
    assert (report["arrivals"], report["allocated"]) == (60, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--placement", "bestfit"), "did you mean 'best-fit'"),
        (("--nodes", "many"), "neither a file nor a size"),
        (("--nodes", "0x8"), "makes an empty cluster"),
        (("--nodes", "99999999999x8"), "is too large: at most 200,000 nodes"),
        (("--nodes", "2x4", "--tasks", "none.csv"), "is no file"),
        (("--ordering", "fifo"), "--ordering needs --nodes"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(SteelyardError, match=message):
        CliRunner().invoke(steelyard, ["simulate-cluster", *arguments], catch_exceptions=False)


@pytest.mark.parametrize("never", ["nan", "inf", "-inf"])
def test_a_number_that_is_none_is_refused(never: str) -> None:
    for verb in (["simulate-cluster", "--demand"], ["up", "--smoothing"], ["top", "--interval"]):
        result = CliRunner().invoke(steelyard, [*verb, never])
        assert result.exit_code == 2, result.output
        assert "Invalid value for '--" in result.output
