"""Training over a gang: killed, asked to leave or left alone, it ends with the same loss."""

import contextlib
import os
import re
import signal
from pathlib import Path

import pytest
from tests.harness.gangs import Gang, gang

TORCH_PYTHON_VARIABLE = "STEELYARD_TORCH_PYTHON"
NUMPY = ("training/train.py", "--steps", "80", "--checkpoint-every", "10", "--step-time", "0.005")
TORCH = ("training/train_torch.py", "--steps", "80", "--checkpoint-every", "10", "--step-time", "0.005")
needs_torch = pytest.mark.skipif(
    not os.environ.get(TORCH_PYTHON_VARIABLE),
    reason=f"needs PyTorch: run `make test-torch` (sets {TORCH_PYTHON_VARIABLE})",
)
BOTH = pytest.mark.parametrize(
    "program", [NUMPY, pytest.param(TORCH, marks=needs_torch)], ids=["numpy", "torch"]
)


def start(
    folder: Path, program: tuple[str, ...], ranks: int = 2
) -> "contextlib.AbstractContextManager[Gang]":
    if program is TORCH:
        return gang(folder, *program, ranks=ranks, python=os.environ[TORCH_PYTHON_VARIABLE])
    return gang(folder, *program, ranks=ranks)


def final_loss(run: Gang) -> str:
    assert set(run.wait()) == {0}, run.output()
    found = re.search(r"^final loss (\S+)$", run.output(), re.MULTILINE)
    assert found, run.output()
    return found[1]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Final losses of runs that nothing happened to."""
    return {}


def expected(program: tuple[str, ...], folder: Path, known: dict[str, str]) -> str:
    if program[0] not in known:
        with start(folder / "undisturbed", program) as run:
            known[program[0]] = final_loss(run)
    return known[program[0]]


@BOTH
def test_a_run_whose_rank_is_killed_resumes_to_the_same_final_loss(
    program: tuple[str, ...], tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    loss = expected(program, tmp_path, undisturbed)
    with start(tmp_path / "killed", program) as run:
        run.wait_for("step 40 ")
        run.signal(1, signal.SIGKILL)
        codes = run.wait()
        assert codes[1] == -signal.SIGKILL
        assert codes[0] != 0
    with start(tmp_path / "killed", program) as run:
        assert final_loss(run) == loss
        resumed = re.search(r"^from step (\d+) ", run.output(), re.MULTILINE)
        assert resumed
        assert int(resumed[1]) >= 30


@BOTH
def test_a_run_asked_to_leave_resumes_where_it_left(
    program: tuple[str, ...], tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    loss = expected(program, tmp_path, undisturbed)
    with start(tmp_path / "asked", program) as run:
        run.wait_for("step 20 ")
        run.signal(1, signal.SIGTERM)  # one is asked, all leave
        assert run.wait() == [0, 0]
        left = re.search(r"stopped at step (\d+)", run.output())
        assert left
    with start(tmp_path / "asked", program) as run:
        assert final_loss(run) == loss
        assert f"from step {left[1]} " in run.output()


def test_it_learns(tmp_path: Path) -> None:
    with gang(tmp_path, "training/train.py", "--steps", "300", "--step-time", "0") as run:
        # Guessing among three spirals costs log 3 = 1.0986.
        assert float(final_loss(run)) < 0.6
