"""A task that counts on from its checkpoint, and what becomes of its attempts on an executor."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.harness.jobs import RunningJobs
from tests.harness.processes import wait_until

from steelyard.jobs.executor import Attempt, AttemptEvent, EventKind, Executor, StartOrder
from steelyard.model.resources import Resources

# One step a tick, kept in a file. A child of its own beats, and tells when it was left behind.
COUNTING = """
import os, pathlib, signal, subprocess, sys, time
file = pathlib.Path(os.environ["STEELYARD_CHECKPOINT_DIR"]) / "step"
step = int(file.read_text()) if file.exists() else 0
print("from", step, flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
beat = pathlib.Path(os.environ["BEAT"] + str(os.getpid()))
beating = "import pathlib, sys, time\\nwhile True: pathlib.Path(sys.argv[1]).touch(); time.sleep(0.05)"
subprocess.Popen([sys.executable, "-c", beating, str(beat)])
while True:
    step += 1
    file.with_suffix(".new").write_text(str(step)); file.with_suffix(".new").replace(file)
    time.sleep(0.05)
"""


def order(folder: Path, node: str, epoch: int, *command: str, task: str = "t") -> StartOrder:
    """Count in this folder, or run another command."""
    folder.mkdir(exist_ok=True)
    return StartOrder(
        attempt=Attempt(task_id=task, epoch=epoch),
        node_id=node,
        command=command or (sys.executable, "-c", COUNTING),
        environment={"STEELYARD_CHECKPOINT_DIR": str(folder), "BEAT": str(folder / f"beat-{epoch}-")},
        log_path=str(folder / f"log-{epoch}"),
        demand=Resources(cpu_cores=1),
    )


def events_until(
    executor: Executor, enough: Callable[[list[AttemptEvent]], bool], timeout_s: float = 20.0
) -> list[AttemptEvent]:
    """Poll until it is enough."""
    seen: list[AttemptEvent] = []
    until_s = time.monotonic() + timeout_s
    while not enough(seen):
        assert time.monotonic() < until_s, seen
        seen += executor.poll()
        time.sleep(0.02)
    return seen


def poll_for(executor: Executor, span_s: float) -> list[AttemptEvent]:
    """Poll for a while."""
    until_s = time.monotonic() + span_s
    return events_until(executor, lambda _: time.monotonic() > until_s, span_s + 5)


def has(kind: EventKind, attempt: Attempt) -> Callable[[list[AttemptEvent]], bool]:
    """Whether an event is among those seen."""
    return lambda seen: any(each.kind is kind and each.attempt == attempt for each in seen)


def step(folder: Path) -> int:
    """How far it has counted."""
    file = folder / "step"
    return int(file.read_text()) if file.exists() else 0


def is_alive(folder: Path, epoch: int) -> bool:
    """Whether an attempt's child still beats."""
    last_s = max((beat.stat().st_mtime for beat in folder.glob(f"beat-{epoch}-*")), default=0.0)
    return time.time() - last_s < 0.5


def silence_s(executor: Executor, node: str) -> float:
    """Since a node was heard of."""
    return time.monotonic() - next(each.heard_at_s for each in executor.nodes() if each.node_id == node)


# Counts to its end, 120 or STEPS, in steps of 50 ms, keeps what it counted, and says on which node.
COUNT_IN_SHELL = """
n=$(cat "$STEELYARD_CHECKPOINT_DIR/n" 2>/dev/null || echo 0)
trap 'exit 0' TERM
while [ $n -lt ${STEPS:-120} ]; do
  n=$((n + 1)); echo $n > "$STEELYARD_CHECKPOINT_DIR/.n"; mv "$STEELYARD_CHECKPOINT_DIR/.n" "$STEELYARD_CHECKPOINT_DIR/n"
  echo "$STEELYARD_NODE $n"; sleep 0.05
done
"""  # noqa: E501  a script as it is written


def goes_on_elsewhere(service: RunningJobs, kill_node: Callable[[str], None], name: str) -> float:
    """Run a job, kill its node; seconds until it counts on elsewhere. Fails where a step ran twice."""
    job_id = service.submit(COUNT_IN_SHELL)
    wait_until(lambda: len(service.log(job_id).splitlines()) > 20, timeout_s=30)
    first = service.task(job_id)["node"]
    kill_node(first)
    killed_s = time.monotonic()

    wait_until(lambda: steps_of(service, job_id)[-1][0] != first, timeout_s=60)
    again_s = time.monotonic() - killed_s
    service.wait_state(job_id, "done", timeout_s=60)
    assert_counted_once(service, job_id)
    # Lost with its node: never taken for a failure of its own, which would cost it a retry.
    assert service.task(job_id)["failures"] == 0
    print(f"\n{name} node killed under the service: running again after {again_s:.1f} s")
    return again_s


def assert_counted_once(service: RunningJobs, job_id: str, steps: int = 120) -> None:
    """No step of the job ran twice, and none is missing."""
    counted = [number for _, number in steps_of(service, job_id)]
    assert counted[-1] == steps
    # Each once, but for the step that the kill may have cut between its record and its line.
    assert len(set(counted)) == len(counted) >= steps - 1
    assert service.became(job_id).count("done") == 1


def steps_of(service: RunningJobs, job_id: str) -> list[tuple[str, int]]:
    """Node and number of each; the shell also tells of its child that the end of the node ended."""
    found = [line.split() for line in service.log(job_id).splitlines()]
    return [(line[0], int(line[1])) for line in found if len(line) == 2]
