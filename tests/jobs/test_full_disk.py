"""Row 10 of the fault matrix with a real full disk below the service's folder."""

import sqlite3
from pathlib import Path

import pytest
from tests.harness.jobs import RunningJobs, eventually, jobs_service, lines
from tests.harness.small_disk import disk_of, fill

from steelyard.model.errors import BadRequest
from steelyard.runtime.journal import boot_time_s


def lease_is_over(folder: Path) -> bool:
    """Whether the service could not renew its lease of the journal in time."""
    with sqlite3.connect(f"file:{folder / 'journal.sqlite'}?mode=ro", uri=True) as journal:
        (until_s,) = journal.execute("select value from meta where name = 'lease_until_s'").fetchone()
    return bool(until_s < boot_time_s())


def submit_until_full(service: RunningJobs) -> None:
    """Submit large jobs until one does not find room."""
    while True:
        service.submit(f"true {'x' * 20_000}", nodes=["nowhere"])


def test_row_10_on_a_full_disk_jobs_run_on_and_what_happened_is_recorded_once_there_is_room(
    tmp_path: Path,
) -> None:
    ends, moves, go = tmp_path / "ends", tmp_path / "moves", tmp_path / "go"
    waiting = f"while [ ! -e {go} ]; do sleep 0.05; done"
    with disk_of(4, tmp_path / "disk") as disk, jobs_service(disk / "state", "A", "B") as service:
        ending = service.submit(f"echo began >> {ends}; {waiting}; echo ended >> {ends}", nodes=["A"])
        moving = service.submit(f"echo $STEELYARD_EPOCH >> {moves}; {waiting}; sleep 60", nodes=["B"])
        service.wait_state(ending, "running")
        service.wait_state(moving, "running")
        big = fill(disk)
        with pytest.raises(BadRequest, match="is full: free some room") as refused:
            submit_until_full(service)
        assert refused.value.http_status == 507
        service.agent("B").kill_group()
        go.touch()
        eventually(lambda: lines(ends) == ["began", "ended"])
        eventually(lambda: lease_is_over(service.folder))
        assert service.answers()
        assert service.job(ending)["state"] == "running"
        big.unlink()
        service.wait_state(ending, "done")
        eventually(lambda: lines(moves) == ["1", "2"])
        assert lines(ends) == ["began", "ended"]
        service.wait_state(service.submit("true"), "done")
        service.client.ask("cancel", job=moving)
