"""The journal: what goes in comes out, and what is not accepted leaves no trace."""

import sqlite3
import time
from pathlib import Path

import pytest

from steelyard.model.controller_event import CancelOrdered, NodeLost, Placed, Submitted
from steelyard.model.job_record import Seat
from steelyard.model.job_specification import JobSpecification
from steelyard.model.resources import Resources
from steelyard.runtime.journal import Journal, JournalLost
from steelyard.scheduling.controller import step
from steelyard.scheduling.controller_state import ControllerState
from steelyard.scheduling.retention import RetentionRules, due


def filled(journal: Journal) -> ControllerState:
    state = ControllerState()
    specification = JobSpecification(
        command=("python", "train.py"),
        environment={"A": "ü"},
        demand=Resources(cpu_cores=2.5, gpus=2),
        tasks=3,
        task_environments=({"S": "0"}, {"S": "1"}, {"S": "2"}),
        deadline_s=7.0,
    )
    for event in (
        Submitted(specification=specification, key="k", wall_s=5.0),
        Placed(job_id="1", seats={"1.0": Seat("A", (0, 1))}, why={"1.0": "best"}, meeting_port=7),
        NodeLost(node_id="B", reason="silent"),
    ):
        journal.record([step(state, event, 3.0)], 3.0, 100.0)
    return state


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "journal.sqlite")
    assert journal.take_over(60.0)
    state = filled(journal)
    journal.close()
    again = Journal(tmp_path / "deep" / "journal.sqlite")
    found = again.load()
    assert found.jobs == state.jobs
    assert found.tasks == state.tasks
    assert found.nodes == state.nodes
    assert found.job_of_key == {"k": "1"}
    assert (found.next_job, again.now_s) == (2, 3.0)
    assert found.by_state == state.by_state
    again.close()


def test_controller_time_goes_on_from_the_last_renewal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    assert journal.take_over(60.0)
    filled(journal)
    journal.renew(60.0, 8.5)
    assert journal.now_s == 8.5
    journal.give_up()
    assert journal.now_s == 8.5
    journal.close()


def test_what_is_forgotten_leaves_its_room_its_key_and_no_number_to_others(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    assert journal.take_over(60.0)
    state = ControllerState()
    specification = JobSpecification(command=("x", "y" * 20_000))
    for number in range(200):
        batch = [
            step(state, Submitted(specification=specification, key=f"k{number}"), 1.0),
            step(state, CancelOrdered(job_id=str(number + 1)), 1.0),
        ]
        journal.record(batch, 1.0, 100.0)
    journal.give_up()
    journal.close()
    full_bytes = path.stat().st_size
    journal = Journal(path)
    assert journal.take_over(60.0)
    rules = RetentionRules(keep_jobs_s=10.0, keep_keys_s=50.0, keep_at_least_s=0.0)
    event = due(state, rules, 20.0)
    assert event is not None
    journal.record([step(state, event, 20.0)], 20.0, 120.0)
    assert journal.timeline("7") == []
    found = journal.load()
    assert (found.jobs, found.tasks, found.next_job) == ({}, {}, 201)
    assert found.job_of_key == {f"k{number}": str(number + 1) for number in range(200)}
    event = due(found, rules, 60.0)
    assert event is not None
    journal.record([step(found, event, 60.0)], 60.0, 160.0)
    journal.close()
    assert path.stat().st_size < full_bytes / 20
    again = Journal(path).load()
    assert (again.job_of_key, again.next_job) == ({}, 201)


def test_the_timeline_is_kept_in_order_with_reasons(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    assert journal.take_over(60.0)
    filled(journal)
    told = [(wall_s, each.task_id, each.after, each.reason) for wall_s, each in journal.timeline("1")]
    assert told == [
        (100.0, "1.0", "queued", "submitted"),
        (100.0, "1.1", "queued", "submitted"),
        (100.0, "1.2", "queued", "submitted"),
        (100.0, "1.0", "placing", "best"),
    ]
    assert len(journal.timeline("1", limit=1)) == 1
    journal.close()


def test_a_dead_holder_s_lease_makes_nobody_wait(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    assert journal.take_over(60.0)
    with journal._transaction(None):
        journal._put_meta("holder_pid", 2**22 + 1)  # above the largest id that a process can have
    other = Journal(tmp_path / "journal.sqlite")
    began_s = time.monotonic()
    assert other.take_over(60.0)
    assert time.monotonic() - began_s < 5
    journal.close()
    other.close()


def test_a_file_that_is_no_journal_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_text("this is a letter, not a data base" * 100)
    with pytest.raises(JournalLost, match="choose another --state folder"):
        Journal(tmp_path / "journal.sqlite")


def test_records_that_nobody_can_read_are_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as database:
        database.execute("insert into records values ('task', '1.0', ?)", (b'{"of": "another world"}',))
    database.close()
    journal = Journal(tmp_path / "journal.sqlite")
    with pytest.raises(JournalLost, match=r"journal\.sqlite cannot be read .*: restore it, or use another"):
        journal.load()
    journal.close()
