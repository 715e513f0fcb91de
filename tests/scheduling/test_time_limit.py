"""The end of an attempt whose time was over: final, unless a person wanted it gone anyway."""

import pytest

from steelyard.jobs.contract import time_left_s
from steelyard.model.controller_event import AttemptEnded, AttemptStarted, CancelOrdered, Placed, Submitted
from steelyard.model.job_record import Seat
from steelyard.model.job_specification import JobSpecification
from steelyard.scheduling.controller import step
from steelyard.scheduling.controller_state import ControllerState


def running(tasks: int = 1, gang: bool = False) -> ControllerState:
    """A job of two seconds at most, started."""
    state = ControllerState()
    wanted = JobSpecification(command=("work",), tasks=tasks, gang=gang, time_limit_s=2.0)
    step(state, Submitted(specification=wanted), 0.0)
    seats = {f"1.{rank}": Seat(f"n{rank}") for rank in range(tasks)}
    step(state, Placed(job_id="1", seats=seats), 0.0)
    for task_id in seats:
        step(state, AttemptStarted(task_id=task_id, epoch=1), 0.0)
    return state


def over(task_id: str, code: int) -> AttemptEnded:
    """Its node ended it."""
    return AttemptEnded(task_id=task_id, epoch=1, exit_code=code, asked_to_stop=True, timed_out=True)


@pytest.mark.parametrize("code", [0, 1, 75, -15, -9])
def test_it_is_final_whatever_the_exit_code(code: int) -> None:
    state = running()
    step(state, over("1.0", code), 2.1)
    task = state.tasks["1.0"]
    assert (str(task.state), task.exit_code, task.ran_s) == ("failed", code, 2.1)
    assert task.reason == "its time limit of 2 s is over, which means: do not retry"


def test_a_cancelled_job_is_cancelled() -> None:
    state = running()
    step(state, CancelOrdered(job_id="1"), 1.0)
    step(state, over("1.0", 0), 2.1)
    assert str(state.tasks["1.0"].state) == "cancelled"


def test_one_member_ends_its_gang() -> None:
    state = running(tasks=2, gang=True)
    step(state, over("1.0", 0), 2.1)
    assert [str(task.state) for task in state.tasks_of("1")] == ["failed", "stopping"]
    step(state, AttemptEnded(task_id="1.1", epoch=1, exit_code=0, asked_to_stop=True), 2.2)
    assert str(state.tasks["1.1"].state) == "failed"


def test_what_ran_before_counts() -> None:
    assert time_left_s(0.0, 50.0) == 0.0
    assert time_left_s(60.0, 0.0) == 60.0
    assert time_left_s(60.0, 50.0) == 10.0
    assert time_left_s(60.0, 70.0) > 0.0
