"""The local executor with real processes: rows 5, 6, 11 and 16 of the fault matrix, and a busy machine."""

import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.harness.jobs import eventually as wait_until
from tests.harness.saturation import SECONDS, busy_processors, longest_silence_without_verdict

from steelyard.jobs.executor import Attempt, AttemptEvent, EventKind, Liveness, NodeReport, StartOrder
from steelyard.jobs.executors import node_attempts
from steelyard.jobs.executors.attempt_process import NODE_MARK
from steelyard.jobs.executors.attempt_store import AttemptStore
from steelyard.jobs.executors.local import LocalExecutor
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.jobs.executors.node_attempts import NodeAttempts
from steelyard.model.resources import Resources
from steelyard.runtime.process_identity import carrying, identify

NODE = LocalNode(name="A", capacity=Resources(cpu_cores=4, memory_bytes=2**30), sample_interval_s=0.2)


def order(folder: Path, command: str, *, epoch: int = 1, task_id: str = "1.0") -> StartOrder:
    return StartOrder(
        attempt=Attempt(task_id=task_id, epoch=epoch),
        node_id="A",
        command=("/bin/sh", "-c", command),
        log_path=str(folder / "log"),
    )


class Executing:
    """An executor, and what it told."""

    def __init__(self, folder: Path, term: int = 1) -> None:
        self.executor = LocalExecutor(folder / "nodes", [NODE], term)
        self.events: list[AttemptEvent] = []

    def heard(self, kind: EventKind, epoch: int = 1) -> bool:
        self.events += self.executor.poll()
        return any(each.kind is kind and each.attempt.epoch == epoch for each in self.events)


@pytest.fixture
def executing(tmp_path: Path) -> Iterator[Executing]:
    found = Executing(tmp_path)
    found.executor.reattach([])
    yield found
    found.executor.close()
    found.executor.fence("A")


def test_row_6_a_start_order_that_is_repeated_or_late_starts_nothing(
    executing: Executing, tmp_path: Path
) -> None:
    repeated = order(tmp_path, f"echo x >> {tmp_path}/runs; sleep 0.3", epoch=2)
    for _ in range(3):
        executing.executor.start(repeated)
    wait_until(lambda: executing.heard(EventKind.ENDED, 2))
    executing.executor.acknowledge(repeated.attempt)
    executing.executor.start(repeated)  # again, after all is over
    executing.executor.start(order(tmp_path, f"echo old >> {tmp_path}/runs", epoch=1))
    other = order(tmp_path, "true", task_id="2.0")
    executing.executor.start(other)
    wait_until(lambda: any(each.attempt.task_id == "2.0" for each in executing.executor.poll()))
    assert (tmp_path / "runs").read_text() == "x\n"


def test_a_stop_that_overtakes_its_start_forbids_it(executing: Executing, tmp_path: Path) -> None:
    late = order(tmp_path, f"touch {tmp_path}/ran")
    executing.executor._where[late.attempt] = "A"
    executing.executor.stop(late.attempt, 1.0)
    executing.executor.start(late)
    wait_until(lambda: executing.heard(EventKind.REFUSED))
    assert not (tmp_path / "ran").exists()


def test_row_16_a_former_controller_is_not_obeyed(executing: Executing, tmp_path: Path) -> None:
    successor = Executing(tmp_path, term=2)
    successor.executor.reattach([])
    executing.executor.poll()  # its connection was closed for the newer one: it connects anew
    wait_until(lambda: bool(executing.executor.poll() or executing.executor.fenced_by))
    executing.executor.start(order(tmp_path, f"touch {tmp_path}/ran"))
    successor.executor.start(order(tmp_path, "true", epoch=2))
    wait_until(lambda: successor.heard(EventKind.ENDED, 2))
    assert executing.executor.fenced_by == 2
    assert not (tmp_path / "ran").exists()
    successor.executor.close()


def test_row_5_a_node_that_wakes_up_after_its_fence_runs_nothing(
    executing: Executing, tmp_path: Path
) -> None:
    executing.executor.start(order(tmp_path, f"sleep 1; echo x >> {tmp_path}/runs"))
    wait_until(lambda: executing.heard(EventKind.STARTED))
    agent = executing.executor._agent("A")
    assert agent is not None
    os.kill(agent.pid, signal.SIGSTOP)
    # Stopped: no good, and not dead.
    wait_until(lambda: executing.executor.witness("A") is Liveness.UNKNOWN)
    assert executing.executor.fence("A")
    assert executing.executor.witness("A") is Liveness.DEAD
    assert carrying(NODE_MARK, str(tmp_path / "nodes" / "A")) == []
    # The node comes back with a new agent: what ran is told as lost, and never finishes.
    executing.executor.reattach([(Attempt(task_id="1.0", epoch=1), "A")])
    wait_until(lambda: executing.heard(EventKind.LOST))
    assert not (tmp_path / "runs").exists()


def test_a_former_node_leaves_nothing_behind_once_its_tasks_ended(
    executing: Executing, tmp_path: Path
) -> None:
    last = order(tmp_path, f"until [ -e {tmp_path}/go ]; do sleep 0.05; done")
    executing.executor.start(last)
    wait_until(lambda: executing.heard(EventKind.STARTED))
    agent = executing.executor._agent("A")
    successor = LocalExecutor(tmp_path / "nodes", [replace(NODE, name="B")], term=2)
    successor.reattach([(last.attempt, "A")])

    def reported() -> dict[str, NodeReport]:
        events = successor.poll()
        if any(each.kind is EventKind.ENDED for each in events):
            successor.acknowledge(last.attempt)
        return {each.node_id: each for each in successor.nodes()}

    wait_until(lambda: all(each.telemetry is not None for each in reported().values()))
    assert [name for name, each in reported().items() if each.is_former] == ["A"]
    (tmp_path / "go").touch()
    wait_until(lambda: "A" not in reported())
    tables = [each for each in vars(successor).values() if isinstance(each, dict | set)]
    assert not [each for each in tables if "A" in each]
    wait_until(lambda: agent is not None and not agent.exists)
    successor.dismiss(0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"command": ("/bin/echo", "a\0b")},
        {"environment": {"A=B": "x"}},
        {"environment": {"A": "\0"}},
        {"working_directory": "\0"},
        {"nice": 2**40},
        {"demand": Resources(memory_bytes=1e300)},
    ],
)
def test_what_no_system_call_takes_is_refused_and_ends_no_agent(
    executing: Executing, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    wait_until(lambda: executing.executor._agent("A") is not None)  # it answers before it says who it is
    agent = executing.executor._agent("A")
    executing.executor.start(dataclasses.replace(order(tmp_path, "true"), **wrong))
    wait_until(lambda: executing.heard(EventKind.REFUSED))
    executing.executor.start(order(tmp_path, "true", task_id="2.0"))
    wait_until(lambda: any(each.attempt.task_id == "2.0" for each in executing.executor.poll()))
    assert executing.executor._agent("A") == agent


def test_what_runs_dies_with_its_agent(executing: Executing, tmp_path: Path) -> None:
    executing.executor.start(order(tmp_path, "sleep 300 & wait"))
    wait_until(lambda: executing.heard(EventKind.STARTED))
    agent = executing.executor._agent("A")
    assert agent is not None
    os.kill(agent.pid, signal.SIGKILL)
    wait_until(lambda: executing.executor.witness("A") is Liveness.DEAD)
    assert executing.executor.fence("A")
    assert carrying(NODE_MARK, str(tmp_path / "nodes" / "A")) == []


def test_a_busy_machine_is_no_dead_machine(executing: Executing) -> None:
    """No verdict, for two seconds (`make soak`: for ten minutes)."""
    with busy_processors():
        silence_s = longest_silence_without_verdict(executing.executor)
    print(f"\nlocal, all processors busy for {SECONDS:g} s: longest silence {silence_s:.2f} s")


def test_row_11_a_failure_on_a_full_disk_is_the_node_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = NodeAttempts(NODE, tmp_path)
    monkeypatch.setattr(node_attempts, "free_bytes", lambda path: 4096.0)
    attempts.start(order(tmp_path, "exit 1"))
    ended: list[AttemptEvent] = []

    def has_ended() -> bool:
        ended.extend(attempts.turn(time.monotonic()))
        return bool(ended)

    wait_until(has_ended)
    assert (ended[0].exit_code, ended[0].node_fault, ended[0].reason) == (1, True, "the node's disk is full")


def test_row_11_an_order_that_cannot_be_written_down_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: AttemptStore, order: StartOrder) -> None:
        raise OSError(28, "No space left on device")

    attempts = NodeAttempts(NODE, tmp_path)
    monkeypatch.setattr(AttemptStore, "accept", full)
    event = attempts.start(order(tmp_path, "true"))
    assert event is not None
    assert (event.kind, event.node_fault) == (EventKind.REFUSED, True)


def test_a_torn_line_of_what_was_seen_is_left_out(tmp_path: Path) -> None:
    store = AttemptStore(tmp_path)
    store.accept(order(tmp_path, "true", epoch=3))
    with (tmp_path / "seen").open("a") as file:
        file.write("9.0 1")  # no end of line: the power went
    again = AttemptStore(tmp_path)
    assert not again.is_new(Attempt(task_id="1.0", epoch=3))
    assert again.is_new(Attempt(task_id="1.0", epoch=4))
    assert again.is_new(Attempt(task_id="9.0", epoch=1))


def test_a_process_id_used_again_is_not_the_same_process() -> None:
    own = identify(os.getpid())
    assert own is not None
    assert own.exists
    assert not own.is_stopped
    assert not type(own)(own.pid, own.ticks + 1).exists
    assert identify(2**22 + 1) is None
