"""The Ray executor on a real cluster of several raylets. `make test-ray` installs Ray and runs it."""

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.attempts import (
    COUNT_IN_SHELL,
    assert_counted_once,
    events_until,
    goes_on_elsewhere,
    has,
    is_alive,
    order,
    poll_for,
    silence_s,
    step,
)
from tests.harness.gangs import EXAMPLES
from tests.harness.jobs import RunningJobs
from tests.harness.processes import wait_until
from tests.harness.ray_cluster import PYTHON_VARIABLE, RayCluster, ray_cluster
from tests.harness.saturation import SECONDS, busy_processors, longest_silence_without_verdict

from steelyard.jobs.executor import EventKind, ExecutorError, Liveness
from steelyard.jobs.executors.ray import RayExecutor
from steelyard.runtime.process_identity import carrying

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get(PYTHON_VARIABLE), reason=f"needs Ray: run `make test-ray` (sets {PYTHON_VARIABLE})"
    ),
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("ray"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster("a", "b", "c") as each:
        yield each


@pytest.fixture
def executor(cluster: RayCluster) -> Iterator[RayExecutor]:
    each = RayExecutor(cluster.address, time.monotonic_ns(), python=os.environ[PYTHON_VARIABLE])
    each.reattach([])
    yield each
    each.close()


def test_a_task_runs_where_it_is_told_once_and_its_end_is_told_until_acknowledged(
    executor: RayExecutor, tmp_path: Path
) -> None:
    given = order(tmp_path, "b", 1, "sh", "-c", 'echo x >> "$STEELYARD_CHECKPOINT_DIR/ran"; exit 3')
    executor.start(given)
    executor.start(given)
    events_until(executor, lambda seen: len([e for e in seen if e.kind is EventKind.ENDED]) >= 2)
    executor.acknowledge(given.attempt)
    executor.start(given)  # late and repeated: of an epoch that was seen
    quiet = poll_for(executor, 3)
    assert (tmp_path / "ran").read_text() == "x\n"
    assert len(quiet) <= 1


def test_every_node_reports_its_load(executor: RayExecutor) -> None:
    events_until(executor, lambda _: all(node.telemetry for node in executor.nodes()))
    assert sorted(node.node_id for node in executor.nodes()) == ["a", "b", "c"]
    assert all(node.capacity.cpu_cores == 2 for node in executor.nodes())
    assert executor.witness("a") is Liveness.ALIVE


@pytest.mark.timeout(240 + SECONDS)
def test_busy_nodes_are_no_dead_nodes(executor: RayExecutor, tmp_path: Path) -> None:
    given = order(tmp_path, "a", 1, task="busy")
    executor.start(given)
    events_until(executor, has(EventKind.STARTED, given.attempt), timeout_s=40)
    with busy_processors():
        silence_s = longest_silence_without_verdict(executor)
        wait_until(lambda: is_alive(tmp_path, 1), timeout_s=10)
    print(f"\nRay, all processors busy for {SECONDS:g} s: longest silence {silence_s:.2f} s")
    executor.stop(given.attempt, 5.0)
    events_until(executor, has(EventKind.ENDED, given.attempt))


def test_an_unknown_node_or_command_is_refused(executor: RayExecutor, tmp_path: Path) -> None:
    executor.start(order(tmp_path, "nowhere", 1, task="u"))
    executor.start(order(tmp_path, "a", 1, "/no/such/command", task="v"))
    refused = events_until(executor, lambda seen: len({each.attempt for each in seen}) == 2)
    assert {each.kind for each in refused} == {EventKind.REFUSED}


def test_a_task_outlives_the_controller_and_others_than_the_live_ones_are_ended(
    cluster: RayCluster, tmp_path: Path
) -> None:
    python = os.environ[PYTHON_VARIABLE]
    first = RayExecutor(cluster.address, time.monotonic_ns(), python=python)
    first.reattach([])
    kept = order(tmp_path / "kept", "a", 1, task="kept")
    dropped = order(tmp_path / "dropped", "b", 1, task="dropped")
    for given in (kept, dropped):
        first.start(given)
        events_until(first, has(EventKind.STARTED, given.attempt))
    first.close()
    second = RayExecutor(cluster.address, time.monotonic_ns(), python=python)
    second.reattach([(kept.attempt, "a")])
    try:
        events_until(second, has(EventKind.STARTED, kept.attempt))
        events_until(second, lambda _: not is_alive(tmp_path / "dropped", 1))
        assert is_alive(tmp_path / "kept", 1)
        assert second.read_log(kept.attempt, 0, 100) == b"from 0\n"
        second.stop(kept.attempt, 5.0)
        ended = events_until(second, has(EventKind.ENDED, kept.attempt))
        assert ended[-1].asked_to_stop
        events_until(second, lambda _: not is_alive(tmp_path / "kept", 1))
    finally:
        second.close()


def test_a_dead_node_is_noticed_fenced_and_its_task_goes_on_elsewhere_within_ten_seconds(
    cluster: RayCluster, executor: RayExecutor, tmp_path: Path
) -> None:
    first, second = order(tmp_path, "c", 1, task="k"), order(tmp_path, "a", 2, task="k")
    executor.start(first)
    events_until(executor, lambda _: step(tmp_path) > 20)
    cluster.kill_raylet("c")
    killed_s = time.monotonic()
    # As the controller does: silent for two seconds, then a second witness, then the fence.
    events_until(executor, lambda _: silence_s(executor, "c") > 2.0)
    silent_s = time.monotonic() - killed_s
    assert executor.witness("c") is Liveness.DEAD
    assert executor.fence("c")
    fenced_s = time.monotonic() - killed_s
    assert not is_alive(tmp_path, 1)
    reached = step(tmp_path)
    executor.start(second)
    events_until(executor, lambda _: step(tmp_path) > reached)
    running_s = time.monotonic() - killed_s
    assert (tmp_path / "log-2").read_text() == f"from {reached}\n"
    print(
        f"\nRay node death: silent {silent_s:.1f} s, fenced {fenced_s:.1f} s, running again {running_s:.1f} s"
    )
    assert running_s <= 10
    assert executor.read_log(second.attempt, 5, 100) == f"{reached}\n".encode()
    executor.stop(second.attempt, 1.0)
    events_until(executor, has(EventKind.ENDED, second.attempt))


def trained_through_the_death_of_a_node(service: RunningJobs, cluster: RayCluster) -> None:
    """A gang over the nodes; one is killed; all ranks go on from one checkpoint."""
    command = f"exec {sys.executable} train.py --steps 160"
    wait_until(lambda: len(service.client.ask("nodes")["nodes"]) == 3)
    job_id = service.submit(command, tasks=2, gang=True, working_directory=str(EXAMPLES / "training"))
    wait_until(lambda: "step 60 " in service.log(job_id), timeout_s=40)
    cluster.kill_raylet(service.task(job_id, 1)["node"])
    service.wait_state(job_id, "done", timeout_s=60)
    resumed = re.findall(r"^from step (\d+) with 2 ranks", service.log(job_id), re.MULTILINE)
    assert len(resumed) == 2
    assert int(resumed[1]) >= 40
    assert service.log(job_id).count("final loss") == 1


def test_the_service_runs_a_job_through_the_death_of_its_node(tmp_path: Path) -> None:
    with ray_cluster("a", "b") as cluster:
        service = RunningJobs(tmp_path / "state", "--executor", "ray", "--address", cluster.address)
        service.start()
        try:
            assert goes_on_elsewhere(service, cluster.kill_raylet, "Ray") <= 10
            cluster.add_node("c")
            trained_through_the_death_of_a_node(service, cluster)
            left = service.submit(COUNT_IN_SHELL)
            wait_until(lambda: bool(service.log(left)))
            service.client.ask("down", grace_s=2.0)
            assert service.process is not None
            assert service.process.wait(timeout=30) == 0
            assert carrying("STEELYARD_ATTEMPT", f"{left}.0@1") == []
        finally:
            service.end()


def test_row_17_a_lost_head_ends_all_for_certain_and_the_job_goes_on_once_there_is_a_new_one(
    tmp_path: Path,
) -> None:
    with ray_cluster("a") as cluster:
        service = RunningJobs(tmp_path / "state", "--executor", "ray", "--address", cluster.address)
        service.start()
        try:
            # Long enough to be cut: a raylet lets go of its head only after five seconds.
            job_id = service.submit(COUNT_IN_SHELL, environment={"STEPS": 300})
            wait_until(lambda: len(service.log(job_id).splitlines()) > 20, timeout_s=30)
            cluster.kill_head()
            killed_s = time.monotonic()
            wait_until(lambda: service.job(job_id)["state"] == "queued", timeout_s=60)
            print(f"\nRay head lost: the job is marked after {time.monotonic() - killed_s:.1f} s")
            assert "node a was lost" in service.job(job_id)["timeline"][-1]["reason"]
            cluster.wait_until_ended()
            cluster.start_head()
            cluster.add_node("a")
            began_s = time.monotonic()
            service.wait_state(job_id, "done", timeout_s=60)
            print(f"Ray head back: the job is done {time.monotonic() - began_s:.1f} s after its node")
            assert_counted_once(service, job_id, steps=300)
        finally:
            service.end()


def test_no_ray_is_one_clear_sentence(cluster: RayCluster, tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match="HOST:PORT"):
        RayExecutor("auto", 1).reattach([])
    with pytest.raises(ExecutorError, match="ray start --head"):
        RayExecutor("127.0.0.1:1", 1).reattach([])
    with pytest.raises(ExecutorError, match="cannot be started"):
        RayExecutor(cluster.address, 1, python=str(tmp_path / "python")).reattach([])
    with pytest.raises(ExecutorError, match="extra"):
        RayExecutor(cluster.address, 1, python=sys.executable).reattach([])
