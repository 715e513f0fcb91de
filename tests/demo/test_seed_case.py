"""The seed's numbers, and the seed's case played."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from tests.harness.jobs import eventually

from steelyard.cli.main import steelyard
from steelyard.demo.seed_case import NODE_LOADS
from steelyard.demo.seed_math import section_4_4, section_5
from steelyard.jobs.executors.attempt_process import NODE_MARK
from steelyard.runtime.process_identity import carrying


def test_section_4_4_follows_its_formulas() -> None:
    assert [each.computed for each in section_4_4()] == ["0.7500", "0.00667", "0.6111", "0.02889"]
    assert [each.article for each in section_4_4()] == ["0.3167", "0.0111", "0.43", "0.0143"]


def test_section_5_places_by_least_load() -> None:
    run = section_5()
    # By time: the 25, the 50, the 75 to a node each; the 100 finds no node that is whole.
    assert run.rows == ((0, 1, 0), (0, 0, 0), (0, 0, 1), (1, 0, 0))
    assert run.remaining == (75.0, 50.0, 25.0)
    assert (run.utilisation, run.balance) == ((1.0, 1.0, 1.0), 0.0)


def test_section_5_as_the_article_s_program_would_have_it() -> None:
    run = section_5(least_remaining=True)
    assert run.rows == ((1, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))
    assert run.utilisation == (1.0, 0.5, 0.5)


def test_seed_math_is_printed() -> None:
    result = CliRunner().invoke(steelyard, ["demo", "seed-math"])
    assert result.exit_code == 0
    assert "0.02889" in result.output
    assert "0.0143" in result.output


def test_the_case_is_played_with_real_processes(tmp_path: Path) -> None:
    """Ten tasks; T1 moves from D to E, T5 goes on on its backup B; all are done and the page is there."""
    result = CliRunner().invoke(steelyard, ["demo", "jobs", "--out", str(tmp_path)])
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    page = (tmp_path / "jobs.html").read_text()
    assert "T1 on D" in page
    assert "T1 on E" in page
    assert "T5 on B" in page
    assert "node A was lost" in page


def test_a_demo_that_is_ended_ends_what_it_started(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "steelyard", "demo", "jobs", "--out", str(tmp_path / "out")]
    paths = os.pathsep.join(path for path in sys.path if path)
    demo = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        eventually(lambda: len([*tmp_path.glob("*/state/nodes/*/agent")]) == len(NODE_LOADS))
        (nodes,) = tmp_path.glob("*/state/nodes")
        eventually(lambda: carrying(NODE_MARK, str(nodes / "A")))
        demo.send_signal(signal.SIGTERM)
        _, errors = demo.communicate(timeout=30)
    finally:
        demo.kill()
        demo.wait()
    assert demo.returncode == 128 + signal.SIGTERM
    assert errors == b""
    assert [name for name in NODE_LOADS if carrying(NODE_MARK, str(nodes / name))] == []
    assert not nodes.exists()


def test_a_demo_that_cannot_write_its_report_says_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(steelyard, ["demo", "jobs", "--out", str(tmp_path / "file" / "out")])
    assert isinstance(result.exception, OSError)
    assert "come up" not in result.output
