"""The controller's state machine, event by event."""

import pytest

from steelyard.model.controller_event import (
    Acknowledge,
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptStarted,
    CancelOrdered,
    MoveOrdered,
    NodeCordoned,
    NodeLost,
    NodeReturned,
    NodeUncordoned,
    PauseOrdered,
    Placed,
    Preempted,
    Recovered,
    ResumeOrdered,
    Start,
    Stop,
    Submitted,
    TimePassed,
)
from steelyard.model.errors import BadRequest
from steelyard.model.job_record import Seat, TaskRecord, TaskState
from steelyard.model.job_specification import JobSpecification, RetryRules
from steelyard.scheduling.attempt_ends import EXECUTOR_PAUSE_S
from steelyard.scheduling.controller import REPEAT_ORDER_S, step
from steelyard.scheduling.controller_state import ControllerState


class Machine:
    """The state machine with a clock that tests set."""

    def __init__(self) -> None:
        self.state = ControllerState()
        self.now_s = 0.0

    def submit(self, **more: object) -> str:
        specification = JobSpecification(command=("work",), **more)  # type: ignore[arg-type]  # fields by name
        return step(self.state, Submitted(specification=specification), self.now_s).job_id

    def does(self, event: object) -> list[object]:
        """The actions that an event leads to."""
        return [*step(self.state, event, self.now_s).actions]  # type: ignore[arg-type]  # any event

    def run(self, job_id: str, **nodes: str) -> None:
        """Place and start tasks: t0="A" puts task 0 on A."""
        seats = {f"{job_id}.{name[1:]}": Seat(node) for name, node in nodes.items()}
        self.does(Placed(job_id=job_id, seats=seats))
        for task_id in seats:
            self.does(AttemptStarted(task_id=task_id, epoch=self.task(task_id).epoch))

    def ends(self, task_id: str, code: int | None = 0, *, asked: bool = False) -> list[object]:
        """The current attempt ends."""
        epoch = self.task(task_id).epoch
        return self.does(AttemptEnded(task_id=task_id, epoch=epoch, exit_code=code, asked_to_stop=asked))

    def task(self, task_id: str) -> TaskRecord:
        return self.state.tasks[task_id]

    def states(self, job_id: str) -> list[str]:
        return [str(task.state) for task in self.state.tasks_of(job_id)]


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_task_goes_from_the_queue_to_its_end(machine: Machine) -> None:
    job_id = machine.submit()
    assert machine.states(job_id) == ["queued"]
    actions = machine.does(Placed(job_id=job_id, seats={"1.0": Seat("A", (1,))}))
    assert actions == [Start(task_id="1.0", epoch=1, seat=Seat("A", (1,)))]
    machine.does(AttemptStarted(task_id="1.0", epoch=1))
    assert machine.states(job_id) == ["running"]
    machine.now_s = 7.0
    assert machine.ends("1.0") == [Acknowledge(task_id="1.0", epoch=1)]
    assert machine.states(job_id) == ["done"]
    assert machine.task("1.0").ran_s == 7.0
    assert machine.state.job_is_done(job_id)


def test_every_change_has_a_reason(machine: Machine) -> None:
    changes = step(machine.state, Submitted(specification=JobSpecification(command=("x",), tasks=3)), 0.0)
    assert [each.task_id for each in changes.transitions] == ["1.0", "1.1", "1.2"]
    assert all(each.reason and each.after == "queued" for each in changes.transitions)


def test_a_late_end_of_an_old_attempt_is_acknowledged_and_changes_nothing(machine: Machine) -> None:
    job_id = machine.submit()
    machine.run(job_id, t0="A")
    machine.does(AttemptLost(task_id="1.0", epoch=1, reason="lost"))
    machine.run(job_id, t0="B")
    assert machine.does(AttemptEnded(task_id="1.0", epoch=1, exit_code=0)) == [
        Acknowledge(task_id="1.0", epoch=1)
    ]
    assert machine.states(job_id) == ["running"]
    # And a copy that still runs under the old epoch is stopped without grace.
    (stop,) = machine.does(AttemptStarted(task_id="1.0", epoch=1))
    assert isinstance(stop, Stop)
    assert (stop.epoch, stop.grace_s) == (1, 0.0)


def test_an_order_that_nobody_took_is_given_again_and_costs_no_retry(machine: Machine) -> None:
    job_id = machine.submit(retry=RetryRules(max_retries=0))
    for turn in range(30):
        machine.now_s = 100.0 * turn
        machine.does(Placed(job_id=job_id, seats={"1.0": Seat("A")}))
        epoch = machine.task("1.0").epoch
        machine.does(AttemptRefused(task_id="1.0", epoch=epoch, reason="sbatch: busy", executor_fault=True))
        assert machine.states(job_id) == ["backing off"]
        assert (machine.task("1.0").failures, machine.task("1.0").refused_by) == (0, ())
        machine.now_s += EXECUTOR_PAUSE_S
        machine.does(TimePassed())
        assert machine.states(job_id) == ["queued"]


def test_back_off_doubles_up_to_its_limit(machine: Machine) -> None:
    rules = RetryRules(max_retries=4, first_delay_s=1.0, max_delay_s=3.0)
    job_id = machine.submit(retry=rules)
    delays = []
    for _ in range(4):
        machine.run(job_id, t0="A")
        machine.ends("1.0", 1)
        delays.append(machine.task("1.0").not_before_s - machine.now_s)
        machine.does(TimePassed())
        assert machine.states(job_id) == ["backing off"]
        machine.now_s = machine.task("1.0").not_before_s
        machine.does(TimePassed())
        assert machine.states(job_id) == ["queued"]
    assert delays == [1.0, 2.0, 3.0, 3.0]
    machine.run(job_id, t0="A")
    machine.ends("1.0", 1)
    assert machine.states(job_id) == ["failed"]


def test_exit_code_75_asks_to_be_started_again_and_is_no_failure(machine: Machine) -> None:
    job_id = machine.submit()
    machine.run(job_id, t0="A")
    machine.ends("1.0", 75)
    assert machine.states(job_id) == ["queued"]
    assert machine.task("1.0").failures == 0


def test_an_end_by_itself_is_done_though_it_was_to_move(machine: Machine) -> None:
    job_id = machine.submit()
    machine.run(job_id, t0="A")
    machine.does(MoveOrdered(task_id="1.0", target=Seat("B"), reason="hot"))
    machine.ends("1.0", 0)
    assert machine.states(job_id) == ["done"]


def test_a_move_holds_both_seats_until_it_left(machine: Machine) -> None:
    job_id = machine.submit()
    machine.run(job_id, t0="A")
    (stop,) = machine.does(MoveOrdered(task_id="1.0", target=Seat("B"), reason="hot"))
    assert isinstance(stop, Stop)
    assert (machine.task("1.0").seat, machine.task("1.0").target) == (Seat("A"), Seat("B"))
    acknowledge, start = machine.ends("1.0", 0, asked=True)
    assert isinstance(acknowledge, Acknowledge)
    assert start == Start(task_id="1.0", epoch=2, seat=Seat("B"))
    assert (machine.task("1.0").seat, machine.task("1.0").target) == (Seat("B"), None)


def test_a_move_whose_target_dies_goes_back_to_the_queue(machine: Machine) -> None:
    job_id = machine.submit()
    machine.run(job_id, t0="A")
    machine.does(MoveOrdered(task_id="1.0", target=Seat("B"), reason="hot"))
    machine.does(NodeLost(node_id="B", reason="silent"))
    machine.ends("1.0", 0, asked=True)
    assert machine.states(job_id) == ["queued"]


def test_a_move_whose_source_dies_goes_on_at_its_target(machine: Machine) -> None:
    job_id = machine.submit()
    machine.run(job_id, t0="A")
    machine.does(MoveOrdered(task_id="1.0", target=Seat("B"), reason="hot"))
    actions = machine.does(NodeLost(node_id="A", reason="silent"))
    assert Start(task_id="1.0", epoch=2, seat=Seat("B")) in actions


def test_a_lost_node_s_task_prefers_its_backup(machine: Machine) -> None:
    job_id = machine.submit(backup_node_id="C")
    machine.run(job_id, t0="A")
    machine.does(NodeLost(node_id="A", reason="silent"))
    task = machine.task("1.0")
    assert (task.state, task.preferred_node_id, task.losses) == (TaskState.QUEUED, "C", 1)
    assert not machine.state.takes_tasks("A")
    machine.does(NodeReturned(node_id="A"))
    assert machine.state.takes_tasks("A")


def test_a_job_that_kills_its_nodes_is_given_up(machine: Machine) -> None:
    job_id = machine.submit(retry=RetryRules(max_losses=1))
    for _ in range(2):
        machine.run(job_id, t0="A")
        machine.does(AttemptLost(task_id="1.0", epoch=machine.task("1.0").epoch, reason="its node died"))
    assert machine.states(job_id) == ["failed"]


def test_pause_and_resume_also_when_it_was_still_stopping(machine: Machine) -> None:
    job_id = machine.submit()
    machine.run(job_id, t0="A")
    machine.does(PauseOrdered(job_id=job_id))
    assert machine.states(job_id) == ["stopping"]
    machine.does(ResumeOrdered(job_id=job_id))
    machine.ends("1.0", -15, asked=True)
    assert machine.states(job_id) == ["queued"]
    machine.does(PauseOrdered(job_id=job_id))
    assert machine.states(job_id) == ["paused"]
    machine.does(ResumeOrdered(job_id=job_id))
    assert machine.states(job_id) == ["queued"]


def test_cancel_beats_pause_and_move(machine: Machine) -> None:
    job_id = machine.submit()
    machine.run(job_id, t0="A")
    machine.does(MoveOrdered(task_id="1.0", target=Seat("B"), reason="hot"))
    machine.does(PauseOrdered(job_id=job_id))
    machine.does(CancelOrdered(job_id=job_id))
    machine.does(PauseOrdered(job_id=job_id))
    machine.ends("1.0", -9, asked=True)
    assert machine.states(job_id) == ["cancelled"]


def test_a_refused_start_avoids_that_node_and_counts_as_a_failure(machine: Machine) -> None:
    job_id = machine.submit()
    machine.does(Placed(job_id=job_id, seats={"1.0": Seat("A")}))
    machine.does(AttemptRefused(task_id="1.0", epoch=1, reason="no such file"))
    task = machine.task("1.0")
    assert (task.state, task.refused_by, task.failures) == (TaskState.BACKING_OFF, ("A",), 1)
    assert "no such file" in task.reason


def test_a_node_s_own_fault_is_no_failure_and_drains_it(machine: Machine) -> None:
    job_id = machine.submit(tasks=2)
    machine.run(job_id, t0="A", t1="A")
    machine.does(AttemptEnded(task_id="1.0", epoch=1, exit_code=1, reason="disk full", node_fault=True))
    assert machine.states(job_id) == ["queued", "running"]
    assert machine.task("1.0").failures == 0
    assert machine.state.node("A").cordoned == "disk full"


def test_draining_moves_what_runs_and_uncordoning_undoes_it(machine: Machine) -> None:
    job_id = machine.submit()
    machine.run(job_id, t0="A")
    (stop,) = machine.does(NodeCordoned(node_id="A", reason="repair"))
    assert isinstance(stop, Stop)
    machine.ends("1.0", 0, asked=True)
    assert machine.states(job_id) == ["queued"]
    assert machine.does(Placed(job_id=job_id, seats={"1.0": Seat("A")})) == []
    machine.does(NodeUncordoned(node_id="A"))
    assert len(machine.does(Placed(job_id=job_id, seats={"1.0": Seat("A")}))) == 1


def test_a_gang_is_placed_whole_or_not_at_all(machine: Machine) -> None:
    job_id = machine.submit(tasks=2, gang=True)
    assert machine.does(Placed(job_id=job_id, seats={"1.0": Seat("A")})) == []
    assert machine.states(job_id) == ["queued", "queued"]
    assert len(machine.does(Placed(job_id=job_id, seats={"1.0": Seat("A"), "1.1": Seat("B")}))) == 2


def test_a_failed_member_stops_its_gang_which_starts_again_whole(machine: Machine) -> None:
    job_id = machine.submit(tasks=3, gang=True)
    machine.run(job_id, t0="A", t1="B", t2="C")
    machine.ends("1.0", 0)  # finished early
    actions = machine.ends("1.1", 1)
    assert [each.task_id for each in actions if isinstance(each, Stop)] == ["1.2"]
    machine.ends("1.2", -15, asked=True)
    assert machine.states(job_id) == ["queued", "backing off", "queued"]
    machine.now_s = 100.0
    machine.does(TimePassed())
    machine.run(job_id, t0="A", t1="B", t2="C")
    assert [task.epoch for task in machine.state.tasks_of(job_id)] == [2, 2, 2]


def test_a_finally_failed_member_fails_its_gang(machine: Machine) -> None:
    job_id = machine.submit(tasks=2, gang=True, retry=RetryRules(max_retries=0))
    machine.run(job_id, t0="A", t1="B")
    machine.ends("1.0", 1)
    machine.ends("1.1", -15, asked=True)
    assert machine.states(job_id) == ["failed", "failed"]


def test_preempting_one_member_preempts_its_gang(machine: Machine) -> None:
    job_id = machine.submit(tasks=2, gang=True)
    machine.run(job_id, t0="A", t1="B")
    actions = machine.does(Preempted(task_ids=("1.0",), reason="for job 2"))
    assert len(actions) == 2
    machine.ends("1.0", 0, asked=True)
    machine.ends("1.1", 0, asked=True)
    assert machine.states(job_id) == ["queued", "queued"]


def test_a_reduce_step_waits_for_all_and_fails_with_them(machine: Machine) -> None:
    job_id = machine.submit(tasks=2, reduce_command=("sum",), retry=RetryRules(max_retries=0))
    assert machine.state.what_blocks(machine.task("1.2")) == "waits for the other 2 tasks of its job"
    assert machine.does(Placed(job_id=job_id, seats={"1.2": Seat("A")})) == []
    machine.run(job_id, t0="A", t1="A")
    machine.ends("1.0", 0)
    machine.ends("1.1", 1)
    assert machine.states(job_id) == ["done", "failed", "failed"]


def test_dependents_wait_and_are_cancelled_along_the_chain(machine: Machine) -> None:
    first = machine.submit(retry=RetryRules(max_retries=0))
    second = machine.submit(after=(first,))
    third = machine.submit(after=(second,))
    assert machine.does(Placed(job_id=second, seats={"2.0": Seat("A")})) == []
    machine.run(first, t0="A")
    machine.ends("1.0", 1)
    assert machine.states(second) == machine.states(third) == ["cancelled"]
    fourth = machine.submit(after=(first,))
    assert machine.states(fourth) == ["cancelled"]


def test_unconfirmed_orders_are_given_again_with_the_same_epoch(machine: Machine) -> None:
    job_id = machine.submit(grace_s=1.0)
    (start,) = machine.does(Placed(job_id=job_id, seats={"1.0": Seat("A")}))
    assert machine.does(TimePassed()) == []
    machine.now_s = REPEAT_ORDER_S
    assert machine.does(TimePassed()) == [start]
    assert machine.does(Recovered()) == [start]
    machine.does(AttemptStarted(task_id="1.0", epoch=1))
    (stop,) = machine.does(CancelOrdered(job_id=job_id))
    machine.now_s = 3 * REPEAT_ORDER_S
    assert machine.does(TimePassed()) == [stop]


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (CancelOrdered(job_id="9"), "there is no job '9'"),
        (MoveOrdered(task_id="9.0", target=None, reason=""), "there is no job '9.0'"),
        (MoveOrdered(task_id="1", target=None, reason=""), "job 1 has 2 tasks: name one"),
        (MoveOrdered(task_id="1.0", target=Seat("lost"), reason=""), "takes no tasks now"),
        (MoveOrdered(task_id="1.1", target=None, reason=""), "only what runs can move"),
    ],
)
def test_an_order_that_cannot_be_followed_is_refused_in_a_sentence(
    machine: Machine, order: object, says: str
) -> None:
    job_id = machine.submit(tasks=2)
    machine.run(job_id, t0="A", t1="A")
    machine.ends("1.1", 0)
    machine.does(NodeLost(node_id="lost", reason="silent"))
    with pytest.raises(BadRequest, match=says):
        machine.does(order)
