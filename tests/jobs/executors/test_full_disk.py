"""Row 11 of the fault matrix with a real full disk: the task fails with that reason, the node is to blame."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.harness.attempts import order
from tests.harness.processes import wait_until

from steelyard.jobs.executor import EventKind
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.jobs.executors.node_attempts import NodeAttempts
from steelyard.telemetry.host import free_bytes

FILLING = "import sys\nwith open(sys.argv[1], 'wb') as file:\n    while True: file.write(bytes(65536))\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount a small file system here: needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


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
    with (small_disk / "big").open("wb", buffering=0) as file:
        while file.write(bytes(4096)) == 4096 and free_bytes(str(small_disk)):
            pass
    refused = attempts.start(replace(order(tmp_path, "a", 1, "true"), log_path=str(tmp_path / "log")))
    assert refused is not None
    assert (refused.kind, refused.node_fault) == (EventKind.REFUSED, True)
    assert "No space left" in refused.reason
