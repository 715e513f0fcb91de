"""The journal: what goes in comes out, and what is not accepted leaves no trace."""

import time
from pathlib import Path

import pytest

from steelyard.model.controller_event import NodeLost, Placed, Submitted
from steelyard.model.job_record import Seat
from steelyard.model.job_specification import JobSpecification
from steelyard.model.resources import Resources
from steelyard.runtime.journal import Journal, JournalLost
from steelyard.scheduling.controller import step
from steelyard.scheduling.controller_state import ControllerState


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
