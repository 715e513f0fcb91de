"""The controller under injected faults: many seeds in which nothing is broken, and a bug that is found."""

from pathlib import Path

import pytest

from steelyard.model.job_record import TaskRecord
from steelyard.scheduling.controller_state import Changes
from steelyard.scheduling.task_changes import Turn
from steelyard.simulation.jobs_agents import Violation
from steelyard.simulation.jobs_faults import Run
from steelyard.simulation.jobs_soak import main
from steelyard.simulation.jobs_world import Controller

SEEDS = 2_000
PARTS = 8  # so that several workers share them


@pytest.mark.parametrize("part", range(PARTS))
def test_no_promise_is_broken_under_faults(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        try:
            Run(seed).play()
        except Violation as violation:
            pytest.fail(f"seed {seed}: {violation} (python -m steelyard.simulation.jobs_soak --seed {seed})")


def test_a_seed_gives_the_same_run_again() -> None:
    first, second = Run(11), Run(11)
    first.play()
    second.play()
    assert first.world.now_s == second.world.now_s
    assert first.world.started == second.world.started
    assert first.world.disk.tasks == second.world.disk.tasks


def test_a_controller_that_believes_late_messages_is_found_within_1000_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_epochs(self: Turn, task_id: str, epoch: int) -> TaskRecord | None:
        task = self.state.tasks.get(task_id)
        return task if task is not None and task.holds_a_place else None

    monkeypatch.setattr(Turn, "current", without_epochs)
    _found_within(1000)


def test_a_controller_that_performs_before_it_records_is_found_within_1000_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commit = Controller.commit

    def hasty(self: Controller, changes: list[Changes]) -> bool:
        for each in changes:
            for action in each.actions:
                self.perform(action)
        return commit(self, changes)

    monkeypatch.setattr(Controller, "commit", hasty)
    _found_within(1000)


def test_a_controller_that_goes_by_the_wall_clock_is_found_within_1000_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Controller, "now_s", lambda self: self.world.wall_s)
    _found_within(1000)


def _found_within(seeds: int) -> None:
    for seed in range(seeds):
        try:
            Run(seed).play()
        except Violation:
            return
    pytest.fail(f"not found within {seeds} seeds")


def _command(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr("sys.argv", ["jobs_soak", *options])
    return main()


def test_the_command_says_how_many_seeds_held(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _command(monkeypatch, "--seeds", "3") == 0
    assert "3 seeds without a violation" in capsys.readouterr().out


def test_a_soak_goes_on_where_it_was_and_names_every_seed_that_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    played: list[int] = []

    def play(self: Run) -> None:
        played.append(self.seed)
        if self.seed in (12, 15):
            raise Violation("broken on purpose")

    monkeypatch.setattr(Run, "play", play)
    kept = str(tmp_path / "seeds.json")
    assert _command(monkeypatch, "--first", "11", "--last", "13", "--progress", kept) == 1
    assert _command(monkeypatch, "--last", "16", "--progress", kept) == 1
    assert played == [11, 12, 13, 14, 15, 16]
    assert "2 of 6 seeds broke a promise: 12, 15" in capsys.readouterr().out
    assert _command(monkeypatch, "--first", "9", "--last", "16", "--progress", kept) == 2
    assert "began with seed 11" in capsys.readouterr().err
    monkeypatch.setattr("steelyard.simulation.jobs_soak.digest", lambda: "changed since")
    assert _command(monkeypatch, "--last", "17", "--progress", kept) == 2
    assert "of seeds that other sources played" in capsys.readouterr().err
