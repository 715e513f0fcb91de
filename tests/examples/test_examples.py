"""Every example by its one command: each kills what it runs on, compares, and says by its exit code."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(name: str, **environment: str) -> str:
    """What `python -m examples.NAME` printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{name}"],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_training_ends_with_the_same_loss_though_a_node_died() -> None:
    printed = run("training", STEPS="160")
    assert "the gang goes on from step 100" in printed
    assert "the same" in printed


@pytest.mark.skipif(importlib.util.find_spec("duckdb") is None, reason="needs DuckDB: the extra `analysis`")
def test_a_sharded_analysis_equals_the_unsharded_one_though_a_node_died() -> None:
    assert "equal to the count in one go" in run("analysis")


def test_batch_inference_asks_no_finished_prompt_again() -> None:
    assert "no finished prompt was asked again" in run("batch_inference")


def test_every_stream_comes_whole_though_an_engine_died() -> None:
    assert "every stream came whole" in run("inference")


def test_nothing_is_lost_whatever_is_killed() -> None:
    printed = run("high_availability")
    if shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin"):
        assert "haproxy is not installed" not in printed
    assert "the job is done, in attempt 1" in printed
    assert "nothing was lost" in printed


def test_every_scenario_says_its_command_and_what_to_expect() -> None:
    folders = [path.parent for path in (ROOT / "examples").glob("*/*.toml")]
    for folder in folders:
        text = (folder / "README.md").read_text(encoding="utf-8")
        assert "What to expect" in text, folder
        runs = f"python -m examples.{folder.name}" in text
        assert runs == (folder / "__main__.py").exists(), folder
        assert runs or "steelyard demo " in text, folder


def test_the_seeds_critical_task_goes_on_on_its_backup() -> None:
    assert "T5 goes on on B" in run("seed")
