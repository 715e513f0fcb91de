"""Row 11 of the fault matrix with a real full disk: the task fails with that reason, the node is to blame."""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.harness.attempts import order
from tests.harness.processes import wait_until
from tests.harness.small_disk import disk_of, fill

from steelyard.jobs.executor import EventKind
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.jobs.executors.node_attempts import NodeAttempts

FILLING = "import sys\nwith open(sys.argv[1], 'wb') as file:\n    while True: file.write(bytes(65536))\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    with disk_of(4, tmp_path / "disk") as folder:
        yield folder


def test_a_task_that_fills_its_disk_fails_with_that_reason_and_the_node_is_to_blame(
    small_disk: Path, tmp_path: Path
) -> None:
    attempts = NodeAttempts(LocalNode(name="a"), tmp_path / "node")
    filling = order(small_disk, "a", 1, sys.executable, "-c", FILLING, str(small_disk / "big"))
    attempts.start(filling)
    wait_until(lambda: bool(attempts.turn(time.monotonic()) or attempts.unacknowledged()))
    ended = attempts.unacknowledged()
    assert (ended[0].kind, ended[0].exit_code) == (EventKind.ENDED, 1)
    assert ended[0].node_fault
    assert ended[0].reason == "the node's disk is full"


def test_an_order_that_a_full_disk_cannot_take_is_refused_and_the_node_is_to_blame(
    small_disk: Path, tmp_path: Path
) -> None:
    attempts = NodeAttempts(LocalNode(name="a"), small_disk / "node")
    fill(small_disk)
    refused = attempts.start(replace(order(tmp_path, "a", 1, "true"), log_path=str(tmp_path / "log")))
    assert refused is not None
    assert (refused.kind, refused.node_fault) == (EventKind.REFUSED, True)
    assert "No space left" in refused.reason
