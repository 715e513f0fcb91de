"""The Slurm executor on a stub that answers as Slurm was recorded to; on real Slurm by `make test-slurm`."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.harness.attempts import (
    events_until,
    goes_on_elsewhere,
    has,
    is_alive,
    order,
    poll_for,
    silence_s,
    step,
)
from tests.harness.jobs import RunningJobs
from tests.harness.slurm_cluster import PROGRAMS, SlurmCluster, slurm_cluster
from tests.harness.slurm_stub import SlurmStub, slurm_stub

from steelyard.jobs.executor import Attempt, EventKind, ExecutorError, Liveness
from steelyard.jobs.executors.slurm import SlurmExecutor, batch_options
from steelyard.jobs.executors.slurm_commands import Slurm

Cluster = SlurmCluster | SlurmStub
missing = [each for each in PROGRAMS if shutil.which(each) is None]
REAL = pytest.param(
    "real",
    marks=pytest.mark.skipif(
        not os.environ.get("STEELYARD_SLURM") or bool(missing) or os.getuid() != 0,
        reason="needs slurm-wlm, munge and root: run `make test-slurm`",
    ),
)
pytestmark = pytest.mark.xdist_group("slurm")


@pytest.fixture(scope="module", params=["recorded-stub", REAL])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    made = (
        slurm_cluster("n1", "n2", "n3", "n4")
        if request.param == "real"
        else slurm_stub("n1", "n2", "n3", "n4")
    )
    with made as each:
        yield each


def executor_on(cluster: Cluster, folder: Path, term: int = 1) -> SlurmExecutor:
    paths = os.pathsep.join(path for path in sys.path if path.endswith("src"))
    environment = cluster.environment | {"PYTHONPATH": paths}
    return SlurmExecutor(folder / "shared", term, Slurm(environment))


@pytest.fixture
def executor(cluster: Cluster, tmp_path: Path) -> SlurmExecutor:
    each = executor_on(cluster, tmp_path)
    each.reattach([])
    return each


def used_cores(executor: SlurmExecutor, name: str) -> float:
    seen = next(node.telemetry for node in executor.nodes() if node.node_id == name)
    return seen.cpu_used_cores if seen is not None else 0.0


def test_a_task_runs_once_and_its_end_is_told_until_acknowledged(
    executor: SlurmExecutor, tmp_path: Path
) -> None:
    given = order(tmp_path, "n2", 1, "sh", "-c", 'echo x >> "$STEELYARD_CHECKPOINT_DIR/ran"; exit 3')
    executor.start(given)
    executor.start(given)
    seen = events_until(executor, lambda seen: len([e for e in seen if e.kind is EventKind.ENDED]) >= 2)
    assert {(each.exit_code, each.node_id) for each in seen if each.kind is EventKind.ENDED} == {(3, "n2")}
    executor.acknowledge(given.attempt)
    executor.start(given)  # late and repeated: of an epoch that was seen
    assert poll_for(executor, 2) == []
    assert (tmp_path / "ran").read_text() == "x\n"


def test_a_task_asked_to_stop_leaves_by_itself_with_its_children(
    executor: SlurmExecutor, tmp_path: Path
) -> None:
    given = order(tmp_path, "n1", 1)
    executor.start(given)
    events_until(executor, has(EventKind.STARTED, given.attempt))
    events_until(executor, lambda _: step(tmp_path) > 5)
    executor.stop(given.attempt, 5.0)
    ended = events_until(executor, has(EventKind.ENDED, given.attempt))[-1]
    assert ended.asked_to_stop
    assert ended.exit_code == 0
    events_until(executor, lambda _: not is_alive(tmp_path, 1))
    executor.acknowledge(given.attempt)


def test_its_load_is_seen(executor: SlurmExecutor, tmp_path: Path) -> None:
    given = order(tmp_path, "n1", 1, sys.executable, "-c", "while True: pass")
    executor.start(given)
    events_until(executor, lambda _: used_cores(executor, "n1") > 0.05)
    assert sorted(node.node_id for node in executor.nodes()) == ["n1", "n2", "n3", "n4"]
    assert all(node.capacity.cpu_cores == 2 for node in executor.nodes())
    assert used_cores(executor, "n2") == 0
    executor.stop(given.attempt, 0.0)
    events_until(executor, has(EventKind.ENDED, given.attempt))


def test_a_task_outlives_the_controller_and_others_than_the_live_ones_are_ended(
    cluster: Cluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    kept = order(tmp_path / "kept", "n1", 1, task="kept")
    dropped = order(tmp_path / "dropped", "n2", 1, task="dropped")
    for given in (kept, dropped):
        executor.start(given)
        events_until(executor, has(EventKind.STARTED, given.attempt))
    second = executor_on(cluster, tmp_path, term=2)
    never = Attempt(task_id="never", epoch=1)
    second.reattach([(kept.attempt, "n1"), (never, "n1")])
    events_until(second, has(EventKind.STARTED, kept.attempt))
    events_until(second, has(EventKind.LOST, never), 5)
    second.acknowledge(never)
    events_until(second, lambda _: not is_alive(tmp_path / "dropped", 1))
    assert is_alive(tmp_path / "kept", 1)
    executor.start(order(tmp_path / "late", "n1", 1, task="late"))
    assert executor.fenced_by == 2  # the former controller's orders are no longer taken
    second.stop(kept.attempt, 5.0)
    assert events_until(second, has(EventKind.ENDED, kept.attempt))[-1].asked_to_stop


def test_what_cannot_run_is_refused_with_the_reason(executor: SlurmExecutor, tmp_path: Path) -> None:
    given = order(tmp_path, "n1", 1, "/no/such/command")
    executor.start(given)
    refused = events_until(executor, has(EventKind.REFUSED, given.attempt))[-1]
    assert "/no/such/command" in refused.reason
    executor.acknowledge(given.attempt)


def test_a_job_taken_out_by_hand_is_told(cluster: Cluster, executor: SlurmExecutor, tmp_path: Path) -> None:
    given = order(tmp_path, "n1", 1)
    executor.start(given)
    events_until(executor, lambda _: step(tmp_path) > 5)
    (job,) = executor.slurm.queue()
    executor.slurm.cancel(job.job_id)
    events_until(
        executor,
        lambda seen: has(EventKind.LOST, given.attempt)(seen) or has(EventKind.ENDED, given.attempt)(seen),
    )
    events_until(executor, lambda _: not is_alive(tmp_path, 1), 2.0)


def test_a_dead_node_is_noticed_and_its_task_goes_on_elsewhere(
    cluster: Cluster, executor: SlurmExecutor, tmp_path: Path
) -> None:
    first, second = order(tmp_path, "n3", 1, task="k"), order(tmp_path, "n1", 2, task="k")
    executor.start(first)
    events_until(executor, lambda _: step(tmp_path) > 20)
    assert executor.witness("n3") is Liveness.ALIVE
    cluster.kill_node("n3")
    killed_s = time.monotonic()
    # As the service does: suspect after 1.5 s, ask the witness, fence; lost when certain or after 6 s.
    events_until(executor, lambda _: silence_s(executor, "n3") > 1.5)
    events_until(executor, lambda _: executor.witness("n3") is Liveness.UNKNOWN)
    events_until(executor, lambda _: executor.fence("n3") or silence_s(executor, "n3") > 6.0)
    fenced_s = time.monotonic() - killed_s
    assert not is_alive(tmp_path, 1)
    reached = step(tmp_path)
    executor.start(second)
    events_until(executor, lambda _: step(tmp_path) > reached)
    running_s = time.monotonic() - killed_s
    assert (tmp_path / "log-2").read_text() == f"from {reached}\n"
    print(f"\nSlurm node death: fenced {fenced_s:.1f} s, running again {running_s:.1f} s")
    assert running_s <= 15
    executor.stop(second.attempt, 1.0)
    events_until(executor, has(EventKind.ENDED, second.attempt))


def test_the_service_runs_a_job_through_the_death_of_its_node(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_CONF", "PATH"):
        if name in cluster.environment:
            monkeypatch.setenv(name, cluster.environment[name])
    service = RunningJobs(tmp_path / "state", "--executor", "slurm")
    service.start()
    try:
        assert goes_on_elsewhere(service, cluster.kill_node, "Slurm") <= 15
    finally:
        service.end()


def test_slurm_is_told_the_time_limit_in_minutes_with_room_for_the_grace(tmp_path: Path) -> None:
    given = order(tmp_path, "n1", 1)
    assert not any(each.startswith("--time") for each in batch_options(given, tmp_path))
    assert "--time=3" in batch_options(replace(given, time_limit_s=90.0, grace_s=10.0), tmp_path)


def test_no_slurm_is_one_clear_sentence(tmp_path: Path) -> None:
    none = Slurm({"PATH": str(tmp_path)})
    with pytest.raises(ExecutorError, match="slurm-client"):
        SlurmExecutor(tmp_path / "shared", 1, none).reattach([])
    script = tmp_path / "scontrol"
    script.write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    script.chmod(0o755)
    with pytest.raises(ExecutorError, match="Unable to contact"):
        SlurmExecutor(tmp_path / "shared", 1, replace(none)).reattach([])
