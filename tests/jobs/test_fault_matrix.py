"""The fault matrix of the jobs plane, row by row: the real service and journal over nodes without processes.

Rows 2, 3, 4, 15 and 16 also stand in test_jobs_service.py and rows 5, 6 and 11 in executors/ with real
processes; 8 and 9 in test_checkpoints.py; 17 in executors/test_ray.py; 20 in test_many_jobs.py. The
simulation (simulation/test_jobs_faults.py) mixes all of them.
"""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.jobs_cluster import Cluster, Crash, ask, crash_at, state, submit, until, work

from steelyard.jobs.executor import Attempt
from steelyard.jobs.executor_thread import Observed
from steelyard.jobs.service import Request
from steelyard.model.controller_event import (
    AttemptEnded,
    AttemptStarted,
    Event,
    MoveOrdered,
    Start,
    Stop,
    Submitted,
)
from steelyard.model.errors import SteelyardError
from steelyard.model.job_record import Seat, TaskState
from steelyard.model.resources import Resources
from steelyard.runtime.journal import Journal, JournalFull, JournalLost
from steelyard.scheduling.controller import step
from steelyard.scheduling.controller_state import Changes, ControllerState


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(tmp_path)
    yield found
    found.end()


def test_row_1_a_job_whose_answer_was_lost_is_found_once_by_its_key(cluster: Cluster) -> None:
    service = cluster.service()
    service.inbox.put(Request(lambda _: None, event=Submitted(specification=work(), key="k")))
    until(service, lambda: bool(service.state.jobs))
    service = cluster.restarted(service)
    again = ask(service, Submitted(specification=work(), key="k"))
    assert again.job_id == "1"
    assert not again.new_jobs
    assert [*service.state.jobs] == ["1"]


def test_row_2_killed_between_place_and_start(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    service = cluster.service()
    ask(service, Submitted(specification=work()))
    crash_at(service, monkeypatch, Start)
    with pytest.raises(Crash):
        until(service, lambda: False)
    assert not cluster.nodes.starts
    service = cluster.restarted(service)
    until(service, lambda: state(service, "1.0") is TaskState.RUNNING)
    assert [str(order.attempt) for order in cluster.nodes.starts] == ["1.0@1"]


def test_row_3_killed_between_finish_and_record(cluster: Cluster) -> None:
    service = cluster.service()
    submit(service)
    cluster.crash(service)
    cluster.nodes.finish("1.0")
    service = cluster.service()
    until(service, lambda: state(service, "1.0") is TaskState.DONE)
    until(service, lambda: not cluster.nodes.ended)  # acknowledged
    assert len(cluster.nodes.starts) == 1
    assert [each.after for _, each in service.journal.timeline("1")].count("done") == 1


def test_row_4_a_lost_node_s_task_starts_elsewhere_when_it_is_fenced(cluster: Cluster) -> None:
    service = cluster.service()
    submit(service, backup_node_id="C")
    cluster.nodes.silent.add("A")
    until(service, lambda: service.state.tasks["1.0"].node_id == "C")
    assert cluster.nodes.most_at_once["1.0"] == 1
    assert service.state.node("A").lost


def test_row_5_a_node_that_comes_back_is_used_again_and_its_late_result_refused(cluster: Cluster) -> None:
    service = cluster.service()
    submit(service)
    cluster.nodes.silent.add("A")
    until(service, lambda: service.state.tasks["1.0"].node_id == "B")
    # The old copy says that it runs, then that it failed: nobody believes it, and it is told to stop.
    late = Attempt(task_id="1.0", epoch=1)
    outcome = [step(service.state, AttemptStarted(task_id="1.0", epoch=1), 0.0)]
    assert [type(each) for each in outcome[0].actions] == [Stop]
    ended = step(service.state, AttemptEnded(task_id="1.0", epoch=late.epoch, exit_code=1), 0.0)
    assert ended.is_empty
    assert service.state.tasks["1.0"].epoch == 2
    cluster.nodes.silent.clear()
    until(service, lambda: not service.state.node("A").lost)


def test_row_6_a_repeated_start_order_does_nothing(cluster: Cluster) -> None:
    service = cluster.service()
    submit(service)
    order = cluster.nodes.starts[0]
    service.executor.executor.start(order)
    assert len(cluster.nodes.starts) == 1
    assert cluster.nodes.copies("1.0") == 1


def test_row_7_a_repeated_submission_is_the_same_job(cluster: Cluster) -> None:
    service = cluster.service()
    first = ask(service, Submitted(specification=work(), key="same"))
    second = ask(service, Submitted(specification=work(name="other"), key="same"))
    assert first.job_id == second.job_id
    assert len(service.state.jobs) == 1


def test_row_10_a_full_disk_refuses_new_jobs_and_leaves_running_ones_unharmed(cluster: Cluster) -> None:
    journal = Journal(cluster.folder / "journal.sqlite")
    assert journal.take_over(60.0)
    service = cluster.service(journal)
    submit(service)
    pages = journal._database.execute("pragma page_count").fetchone()[0]
    journal._database.execute(f"pragma max_page_count = {pages}")
    big = work(environment={"X": "x" * 200_000})
    with pytest.raises(JournalFull, match="is full") as refused:
        ask(service, Submitted(specification=big, key="big"))
    assert refused.value.http_status == 507
    assert len(service.state.jobs) == 1
    assert cluster.nodes.copies("1.0") == 1
    journal._database.execute("pragma max_page_count = 1000000")
    assert ask(service, Submitted(specification=big, key="big")).job_id == "2"
    cluster.nodes.finish("1.0")
    until(service, lambda: state(service, "1.0") is TaskState.DONE)


def test_row_11_a_node_with_a_full_disk_is_drained_and_the_task_goes_elsewhere(cluster: Cluster) -> None:
    service = cluster.service()
    submit(service)
    cluster.nodes.finish("1.0", exit_code=1, node_fault=True, reason="the node's disk is full")
    until(service, lambda: service.state.tasks["1.0"].node_id == "B")
    assert service.state.node("A").cordoned == "the node's disk is full"
    assert service.state.tasks["1.0"].failures == 0
    assert any("disk is full" in each.reason for _, each in service.journal.timeline("1"))


class _BrokenDisk:
    """A database whose disk fails at the flush of a transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def execute(self, statement: str, *values: Any) -> Any:
        if statement == "commit":
            self.commits += 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return self._database.execute(statement, *values)


def test_row_12_after_a_failed_flush_the_controller_stops_and_never_flushes_again(cluster: Cluster) -> None:
    journal = Journal(cluster.folder / "journal.sqlite")
    assert journal.take_over(60.0)
    service = cluster.service(journal)
    submit(service)
    whole = journal._database
    broken = _BrokenDisk(whole)
    journal._database = broken  # type: ignore[assignment]  # a broken one in its place
    with pytest.raises(JournalLost, match="cannot be written any more"):
        ask(service, Submitted(specification=work()))
    assert broken.commits == 1
    # A successor on a disk that works goes on with what was recorded; the refused job was never accepted.
    journal._database = whole
    service = cluster.restarted(service)
    assert [*service.state.jobs] == ["1"]
    assert cluster.nodes.copies("1.0") == 1


@pytest.mark.parametrize("torn", ["cut", "garbled"])
def test_row_13_a_torn_tail_costs_the_torn_record_only(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    assert journal.take_over(60.0)
    log = tmp_path / "journal.sqlite-wal"
    sizes = []
    state = ControllerState()
    for number in range(5):
        journal.record(
            [step(state, Submitted(specification=work(name=f"job{number}")), float(number))], 0.0, 0.0
        )
        sizes.append(log.stat().st_size)
    data = log.read_bytes()
    middle = (sizes[3] + sizes[4]) // 2  # within the last record
    kept = data[:middle] if torn == "cut" else data[:middle] + b"\xff" * 64 + data[middle + 64 :]
    copy = tmp_path / "after"
    copy.mkdir()
    (copy / "journal.sqlite").write_bytes(path.read_bytes())
    (copy / "journal.sqlite-wal").write_bytes(kept)
    found = Journal(copy / "journal.sqlite")
    names = [job.specification.name for job in found.load().jobs.values()]
    assert names == ["job0", "job1", "job2", "job3"]
    found.close()
    journal.close()


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_row_14_a_jump_of_the_wall_clock_changes_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    service = cluster.service()
    submit(service)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    before = service.now_s()
    for _ in range(12):  # more than a second, and so more than any lease of this test
        service.turn()
    assert 0 <= service.now_s() - before < 30
    assert state(service, "1.0") is TaskState.RUNNING
    assert len(cluster.nodes.starts) == 1
    service = cluster.restarted(service)
    until(service, lambda: bool(service.watch.reports))
    assert cluster.nodes.copies("1.0") == 1


def test_rows_15_and_16_one_writer_at_a_time_and_the_loser_stops(tmp_path: Path) -> None:
    first, second = Journal(tmp_path / "j"), Journal(tmp_path / "j")
    assert first.take_over(0.2)
    assert not second.take_over(60.0)
    deadline_s = time.monotonic() + 10
    while not second.take_over(60.0):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    assert (first.term, second.term) == (1, 2)
    with pytest.raises(JournalLost, match="another controller took over"):
        first.renew(60.0)
    with pytest.raises(JournalLost):
        first.record([], 0.0, 0.0)
    second.record([], 1.0, 0.0)
    first.close()
    second.close()


STEPS = ("ordered", "left", "placed", "started")


@pytest.mark.parametrize("killed_at", STEPS)
def test_row_18_a_migration_killed_at_any_step_ends_at_source_or_target(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    service = cluster.service()
    submit(service)
    cluster.nodes.obey_stops = False
    service.inbox.put(
        Request(lambda _: None, event=MoveOrdered(task_id="1.0", target=Seat("B"), reason="test"))
    )
    if killed_at == "ordered":  # recorded, and the request to stop never sent
        crash_at(service, monkeypatch, Stop)
        with pytest.raises(Crash):
            until(service, lambda: False)
        assert not cluster.nodes.stops
        cluster.nodes.obey_stops = True
    else:
        until(service, lambda: bool(cluster.nodes.stops))
        if killed_at == "placed":  # the start at the target is recorded and never ordered
            crash_at(service, monkeypatch, Start)
        if killed_at == "left":
            cluster.crash(service)
            cluster.nodes.leave(Attempt(task_id="1.0", epoch=1))
            service = cluster.service()
        else:
            cluster.nodes.leave(Attempt(task_id="1.0", epoch=1))
            if killed_at == "placed":
                with pytest.raises(Crash):
                    until(service, lambda: False)
            else:
                until(service, lambda: cluster.nodes.copies("1.0") == 1)
    if killed_at != "left":
        service = cluster.restarted(service)
    until(
        service, lambda: state(service, "1.0") is TaskState.RUNNING and service.state.tasks["1.0"].epoch == 2
    )
    assert [order.node_id for order in cluster.nodes.starts] == ["A", "B"]
    assert cluster.nodes.most_at_once["1.0"] == 1


def test_row_19_a_half_placed_gang_is_released_whole_when_a_node_dies(cluster: Cluster) -> None:
    service = cluster.service()
    cluster.nodes.slow_to_start.add("B")
    ask(service, Submitted(specification=work(tasks=3, gang=True, demand=Resources(cpu_cores=2))))
    until(service, lambda: len(cluster.nodes.running) == 3)
    until(service, lambda: state(service, "1.0") is TaskState.RUNNING)
    assert state(service, "1.1") is TaskState.PLACING
    cluster.nodes.silent.add("B")
    began_s = time.monotonic()
    until(service, lambda: not cluster.nodes.running)
    until(service, lambda: all(task.state is TaskState.QUEUED for task in service.state.tasks_of("1")))
    assert time.monotonic() - began_s < 5
    assert not any(service.planning.table.reservations)
    # Its room is of use to others meanwhile, and it starts whole when its third node is back.
    cluster.nodes.silent.clear()
    cluster.nodes.slow_to_start.clear()
    until(service, lambda: all(task.state is TaskState.RUNNING for task in service.state.tasks_of("1")))
    assert set(cluster.nodes.running.values()) == {"A", "B", "C"}


def test_a_policy_that_breaks_does_not_end_the_watch_over_what_runs(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = cluster.service()
    submit(service)
    place = service.options.placement.place

    def broken(*values: object) -> object:
        raise ZeroDivisionError("a policy's mistake")

    monkeypatch.setattr(type(service.options.placement), "place", broken)
    ask(service, Submitted(specification=work()))
    until(service, lambda: service.broken_rounds > 0)
    cluster.nodes.finish("1.0")
    until(service, lambda: state(service, "1.0") is TaskState.DONE)
    assert "a policy's mistake" in capsys.readouterr().err
    monkeypatch.setattr(type(service.options.placement), "place", lambda self, *values: place(*values))
    until(service, lambda: state(service, "2.0") is TaskState.RUNNING)


def test_an_executor_that_cannot_go_on_ends_the_service_with_its_reason(cluster: Cluster) -> None:
    service = cluster.service()
    service.inbox.put(Observed(failure="the cluster is gone"))
    with pytest.raises(SteelyardError, match="the cluster is gone"):
        until(service, lambda: False)


def test_an_error_of_our_own_in_a_step_is_not_told_as_the_requests(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = cluster.service()
    kept = submit(service)

    def half_done(state: ControllerState, event: Event, now_s: float) -> Changes:
        changes = step(state, event, now_s)
        if isinstance(event, Submitted):
            raise ValueError("found out too late")
        return changes

    with monkeypatch.context() as broken:
        broken.setattr("steelyard.jobs.service.step", half_done)
        with pytest.raises(ValueError, match="found out too late"):
            ask(service, Submitted(specification=work()))
    # Who starts again finds what was recorded, and nothing of what was half done.
    assert set(cluster.restarted(service).state.jobs) == {kept}
