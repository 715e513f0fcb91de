"""What is forgotten of jobs that ended, and what never is."""

import pytest

from steelyard.model.controller_event import AttemptEnded, AttemptStarted, Placed, Submitted
from steelyard.model.errors import BadRequest, ConfigError
from steelyard.model.job_record import Seat
from steelyard.model.job_specification import JobSpecification
from steelyard.scheduling.controller import step
from steelyard.scheduling.controller_state import ControllerState
from steelyard.scheduling.retention import MAX_JOBS_AT_ONCE, RetentionRules, due

DAY_S = 86_400.0
RULES = RetentionRules(keep_jobs_s=DAY_S, keep_jobs=5, keep_keys_s=7 * DAY_S, keep_at_least_s=60.0)


class Months:
    """A controller to which much happens."""

    def __init__(self, rules: RetentionRules = RULES) -> None:
        self.state = ControllerState()
        self.rules = rules
        self.now_s = 0.0

    def submit(self, key: str = "", *after: str) -> str:
        wanted = JobSpecification(command=("x",), after=after)
        return step(self.state, Submitted(specification=wanted, key=key), self.now_s).job_id

    def finish(self, job_id: str) -> str:
        task_id = f"{job_id}.0"
        step(self.state, Placed(job_id=job_id, seats={task_id: Seat("A")}), self.now_s)
        step(self.state, AttemptStarted(task_id=task_id, epoch=1), self.now_s)
        step(self.state, AttemptEnded(task_id=task_id, epoch=1, exit_code=0), self.now_s)
        return job_id

    def forget(self) -> list[str]:
        gone: list[str] = []
        while (event := due(self.state, self.rules, self.now_s)) is not None:
            changes = step(self.state, event, self.now_s)
            assert not changes.is_empty, "else it would never end"
            gone += changes.forgotten_jobs
        return gone


def test_jobs_go_by_age_the_first_that_ended_first_and_open_ones_never() -> None:
    months = Months()
    waits = months.submit()
    first = months.finish(months.submit())
    months.now_s = DAY_S / 2
    second = months.finish(months.submit())
    months.now_s = DAY_S
    assert months.forget() == [first]
    months.now_s = 2 * DAY_S
    assert months.forget() == [second]
    assert [*months.state.jobs] == [waits]
    assert months.state.finished_tasks == 0


def test_more_than_are_to_be_kept_go_once_whoever_waits_has_seen_them() -> None:
    months = Months()
    ended = [months.finish(months.submit()) for _ in range(8)]
    months.now_s = 59.0
    assert months.forget() == []
    months.now_s = 60.0
    assert months.forget() == ended[:3]


def test_tasks_count_too() -> None:
    months = Months(RetentionRules(keep_tasks=2, keep_at_least_s=0.0))
    ended = [months.finish(months.submit()) for _ in range(4)]
    assert months.forget() == ended[:2]


def test_what_others_wait_for_stays() -> None:
    months = Months()
    first = months.finish(months.submit())
    heir = months.submit("", first)
    months.now_s = 30 * DAY_S
    assert months.forget() == []
    months.finish(heir)
    months.now_s = 31 * DAY_S
    assert months.forget() == [first, heir]
    assert not months.state.dependents


def test_a_key_is_that_job_as_long_as_promised_though_the_job_is_forgotten() -> None:
    months = Months()
    job_id = months.finish(months.submit("k"))
    months.now_s = 2 * DAY_S
    assert months.forget() == [job_id]
    assert months.submit("k") == job_id
    months.now_s = 7 * DAY_S
    months.forget()
    assert not months.state.job_of_key
    assert months.submit("k") == "2", "and no number is used twice"


def test_one_who_asks_for_a_forgotten_job_is_told_so() -> None:
    months = Months()
    job_id = months.finish(months.submit())
    months.now_s = 2 * DAY_S
    months.forget()
    with pytest.raises(BadRequest, match="it ended long ago and is forgotten"):
        months.state.known_job(job_id)
    with pytest.raises(BadRequest, match="`steelyard jobs` lists them"):
        months.state.known_job("77")
    assert step(months.state, AttemptEnded(task_id="1.0", epoch=1, exit_code=0), months.now_s).is_empty


def test_a_year_of_jobs_leaves_no_more_than_the_rules_say() -> None:
    months = Months(RetentionRules(keep_jobs=50, keep_jobs_s=DAY_S, keep_keys_s=DAY_S, keep_at_least_s=0))
    for day in range(365):
        months.now_s = day * DAY_S
        for number in range(20):
            months.finish(months.submit(f"{day}/{number}"))
        months.forget()
    state = months.state
    assert len(state.jobs) == len(state.tasks) == len(state.open_tasks) == len(state.finished_s) <= 50
    assert len(state.job_of_key) <= 50
    assert sum(map(len, state.by_state.values())) == len(state.tasks)


def test_a_backlog_goes_in_pieces() -> None:
    months = Months(RetentionRules(keep_jobs=0, keep_at_least_s=0))
    for _ in range(2 * MAX_JOBS_AT_ONCE + 1):
        months.finish(months.submit())
    event = due(months.state, months.rules, months.now_s)
    assert event is not None
    assert len(event.job_ids) == MAX_JOBS_AT_ONCE
    assert len(months.forget()) == 2 * MAX_JOBS_AT_ONCE + 1


def test_amounts_below_nothing_are_named() -> None:
    with pytest.raises(ConfigError, match="keep_jobs is -1"):
        RetentionRules(keep_jobs=-1)
