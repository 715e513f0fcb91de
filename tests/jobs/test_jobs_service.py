"""Jobs as people run them: real processes under a real service."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.jobs import RunningJobs, eventually, jobs_service, lines

from steelyard.jobs.client import JobsClient
from steelyard.jobs.executors.attempt_process import MARK, NODE_MARK
from steelyard.jobs.submission import SubmittedJob, submit, submit_file
from steelyard.model.errors import BadRequest
from steelyard.runtime.process_identity import carrying

# Counts to 40 in steps of 50 ms, and keeps what it counted in its checkpoint folder.
COUNT = """
n=$(cat "$STEELYARD_CHECKPOINT_DIR/n" 2>/dev/null || echo 0)
trap 'exit 0' TERM
while [ $n -lt 40 ]; do
  n=$((n + 1)); echo $n > "$STEELYARD_CHECKPOINT_DIR/.n"; mv "$STEELYARD_CHECKPOINT_DIR/.n" "$STEELYARD_CHECKPOINT_DIR/n"
  echo "$STEELYARD_NODE $n"; sleep 0.05
done
"""  # noqa: E501  a script as it is written


def counts(service: RunningJobs, job_id: str) -> list[tuple[str, int]]:
    """Node and number of each step; the shell also tells of the child that the request to stop ended."""
    found = [line.split() for line in service.log(job_id).splitlines()]
    return [(line[0], int(line[1])) for line in found if len(line) == 2]


def processes(service: RunningJobs, attempt: str) -> set[int]:
    """Those of an attempt of this service: another test's may have an attempt of the same name."""
    ours = {
        pid for name in "AB" for pid in carrying(NODE_MARK, str((service.folder / "nodes" / name).resolve()))
    }
    return ours & set(carrying(MARK, attempt))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningJobs]:
    with jobs_service(tmp_path_factory.mktemp("jobs") / "state") as running:
        yield running


def test_a_job_runs_to_its_end_and_tells_its_story(service: RunningJobs) -> None:
    job_id = service.submit(
        'echo "$STEELYARD_TASK on $STEELYARD_NODE: $GREETING"', environment={"GREETING": "hi"}
    )
    view = service.wait_state(job_id, "done")
    assert service.became(job_id) == ["queued", "placing", "running", "done"]
    assert all(each["reason"] for each in view["timeline"])
    assert "min-load" in view["timeline"][1]["reason"]
    assert service.log(job_id).endswith(": hi\n")


def test_no_piece_of_a_log_cuts_a_character(service: RunningJobs, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job_id = service.submit(
        "i=0; printf x; while [ $i -lt 20000 ]; do printf 'éééééééé'; i=$((i+1)); done; "
        f"printf '\\303'; touch {tmp_path}/half; while [ ! -e {go} ]; do sleep 0.05; done; "
        "printf '\\251\\377'"
    )
    eventually((tmp_path / "half").exists)
    before = service.client.ask("logs", task=job_id, offset=2 * 8 * 20000 + 1)
    assert (before["text"], before["offset"]) == ("", 2 * 8 * 20000 + 1)
    go.touch()
    service.wait_state(job_id, "done")
    whole = "x" + "é" * 160_001 + "\N{REPLACEMENT CHARACTER}"
    assert SubmittedJob(job_id, service.client).log() == whole
    assert "".join(service.client.follow_log(job_id)) == whole
    assert service.client.ask("logs", task=job_id, offset=-4)["text"] == whole[-2:]


def test_a_failure_is_retried_with_back_off_and_then_final(service: RunningJobs) -> None:
    retry = {"max_retries": 2, "first_delay": "50ms"}
    job_id = service.submit("exit 7", retry=retry)
    view = service.wait_state(job_id, "failed")
    assert service.became(job_id).count("backing off") == 2
    assert "exit code 7; that was failure 3, and 2 retries are allowed" in view["timeline"][-1]["reason"]


def test_an_exit_code_may_mean_do_not_retry(service: RunningJobs) -> None:
    job_id = service.submit("exit 2")
    view = service.wait_state(job_id, "failed")
    assert view["task_views"][0]["epoch"] == 1
    assert "do not retry" in view["timeline"][-1]["reason"]


def test_a_command_that_is_not_there_is_refused_with_its_name(service: RunningJobs) -> None:
    job = submit(["/no/such/program"], state=service.folder, retry={"max_retries": 0})
    assert job.wait(20) == "failed"
    assert "/no/such/program" in service.task(job.job_id)["reason"]


def test_a_moved_task_goes_on_from_its_checkpoint(service: RunningJobs) -> None:
    job_id = service.submit(COUNT, nodes=[])
    eventually(lambda: len(service.log(job_id).splitlines()) > 5)
    source = service.task(job_id)["node"]
    target = "B" if source == "A" else "A"
    service.client.ask("move", task=job_id, node=target)
    service.wait_state(job_id, "done")
    counted = counts(service, job_id)
    # Each number once, but for the one that a kill may have cut between its record and its line.
    assert counted[-1] == (target, 40)
    assert len(counted) in (39, 40)
    assert {node for node, _ in counted} == {source, target}
    assert service.task(job_id)["moves"] == 1


def test_a_paused_job_waits_until_it_is_resumed(service: RunningJobs) -> None:
    job_id = service.submit(COUNT)
    eventually(lambda: len(service.log(job_id).splitlines()) > 3)
    service.client.ask("pause", job=job_id)
    service.wait_state(job_id, "paused")
    counted = service.log(job_id)
    assert not service.task(job_id)["node"]
    service.client.ask("resume", job=job_id)
    service.wait_state(job_id, "done")
    assert service.log(job_id).startswith(counted)
    assert service.task(job_id)["failures"] == 0


def test_a_cancelled_job_leaves_no_process_behind(service: RunningJobs) -> None:
    # A shell, its child, and a grandchild in a session of its own that outlives both.
    job_id = service.submit("setsid sleep 300 & sleep 301 & echo ready; wait", grace="100ms")
    eventually(lambda: "ready" in service.log(job_id))
    assert len(processes(service, f"{job_id}.0@1")) >= 3
    service.client.ask("cancel", job=job_id)
    service.wait_state(job_id, "cancelled")
    assert processes(service, f"{job_id}.0@1") == set()


def test_what_ignores_the_request_to_stop_is_killed_after_its_grace(service: RunningJobs) -> None:
    job_id = service.submit("trap '' TERM; echo ready; while true; do sleep 0.05; done", grace="200ms")
    eventually(lambda: "ready" in service.log(job_id))
    service.client.ask("cancel", job=job_id)
    service.wait_state(job_id, "cancelled", timeout_s=10)


def test_a_task_over_its_memory_is_ended_with_that_reason(service: RunningJobs) -> None:
    command = (
        "exec python3 -c \"x = bytearray(200 << 20); print('has', flush=True); import time; time.sleep(60)\""
    )
    resources = {"cpu_cores": 0.5, "memory": "50MiB"}
    job_id = service.submit(command, resources=resources, retry={"max_retries": 0})
    view = service.wait_state(job_id, "failed")
    assert "its limit is 50" in view["timeline"][-1]["reason"]


def test_gang_members_are_told_how_to_meet(service: RunningJobs) -> None:
    job_id = service.submit('echo "$RANK/$WORLD_SIZE $MASTER_ADDR:$MASTER_PORT"', tasks=3, gang=True)
    service.wait_state(job_id, "done")
    told = [service.log(job_id, index).split() for index in range(3)]
    assert [rank for rank, _ in told] == ["0/3", "1/3", "2/3"]
    assert len({meeting for _, meeting in told}) == 1
    assert int(told[0][1].rpartition(":")[2]) > 0


def test_shards_over_keys_with_a_retried_shard_and_a_reduce_step(
    service: RunningJobs, tmp_path: Path
) -> None:
    command = f"""
    [ $STEELYARD_SHARD = 2 ] && [ $STEELYARD_EPOCH = 1 ] && exit 9
    seq $STEELYARD_SHARD_FIRST $((STEELYARD_SHARD_END - 1)) > {tmp_path}/$STEELYARD_SHARD
    """
    job_id = service.submit(
        command, shards=4, keys=[0, 101], reduce=f"cat {tmp_path}/[0-3] | paste -sd+ | bc > {tmp_path}/sum",
        retry={"first_delay": "50ms"},
    )  # fmt: skip
    view = service.wait_state(job_id, "done")
    assert (tmp_path / "sum").read_text().strip() == str(sum(range(101)))
    assert [task["epoch"] for task in view["task_views"]] == [1, 1, 2, 1, 1]


def test_jobs_of_a_file_wait_for_each_other(service: RunningJobs, tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text(
        '[[jobs]]\nname = "first"\ncommand = "sleep 0.3; echo 1 >> order"\n'
        '[[jobs]]\nname = "second"\nafter = ["first"]\ncommand = "echo 2 >> order"\n'
    )
    jobs = submit_file(service.client, path, key="file")
    assert submit_file(service.client, path, key="file") == jobs
    wait = service.task(jobs["second"])["waits"]["why"]
    assert wait == f"waits for job {jobs['first']} to be done"
    service.wait_state(jobs["second"], "done")
    assert lines(tmp_path / "order") == ["1", "2"]


def test_a_job_whose_dependency_fails_is_cancelled(service: RunningJobs) -> None:
    first = service.submit("exit 2")
    second = service.submit("true", after=[first])
    assert "is failed" in service.wait_state(second, "cancelled")["reason"]


def test_says_why_a_job_waits_and_when_it_may_start(service: RunningJobs) -> None:
    first = service.submit("sleep 30", tasks=2, expected_time="1h", resources={"cpu_cores": 7})
    service.wait_state(first, "running")
    second = service.submit("true", resources={"cpu_cores": 5})
    eventually(lambda: "waits" in service.task(second))
    waits = service.task(second)["waits"]
    assert waits["resource"] == "cpu_cores"
    assert 3000 < waits["feasible_in_s"] <= 3600
    for job_id in (first, second):
        service.client.ask("cancel", job=job_id)
    service.wait_state(first, "cancelled")
    giant = service.submit("true", resources={"cpu_cores": 64})
    eventually(lambda: service.task(giant).get("waits", {}).get("reason") == "never")
    service.client.ask("cancel", job=giant)


def test_a_drained_node_is_emptied_and_used_again_when_asked(service: RunningJobs) -> None:
    job_id = service.submit(COUNT)
    eventually(lambda: len(service.log(job_id).splitlines()) > 3)
    source = service.task(job_id)["node"]
    service.client.ask("drain", node=source)
    service.wait_state(job_id, "done")
    assert {node for node, _ in counts(service, job_id)} == {"A", "B"}
    service.client.ask("drain", node=source, undo=True)
    rows = {row["node"]: row["state"] for row in service.client.ask("nodes")["nodes"]}
    assert rows == {"A": "up", "B": "up"}


def test_max_parallel_holds_an_array_back(service: RunningJobs, tmp_path: Path) -> None:
    command = f"echo + >> {tmp_path}/at; sleep 0.1; echo - >> {tmp_path}/at"
    job_id = service.submit(command, tasks=4, max_parallel=1)
    service.wait_state(job_id, "done")
    assert lines(tmp_path / "at") == ["+", "-"] * 4


@pytest.mark.parametrize(
    ("op", "values", "says"),
    [
        ("job", {"job": "999"}, "there is no job '999'"),
        ("drain", {"node": "Z"}, "there is no node 'Z'"),
        ("cancel", {}, "cancel needs job"),
        ("nonsense", {}, "there is no request 'nonsense'"),
        ("submit", {"specification": {"command": []}}, "the job has no command"),
        ("submit", {"specification": {"command": ["x"], "after": ["999"]}}, "there is no job '999'"),
        ("submit", {"specification": {"command": ["x"]}, "wall_s": "nan"}, "wall_s is nan: it must be"),
        ("jobs", {"limit": "many"}, "a value of the request is of no use"),
    ],
)
def test_a_request_of_no_use_is_answered_in_a_sentence(
    service: RunningJobs, op: str, values: dict[str, object], says: str
) -> None:
    with pytest.raises(BadRequest, match=says):
        service.client.ask(op, **values)


def test_a_move_to_an_unknown_node_names_the_known_ones(service: RunningJobs) -> None:
    job_id = service.submit("exec sleep 60")
    eventually(lambda: len(service.client.ask("nodes")["nodes"]) == 2)
    with pytest.raises(BadRequest, match="there is no node 'Z': known are A, B"):
        service.client.ask("move", task=job_id, node="Z")
    service.client.ask("cancel", job=job_id)


def test_python_programs_submit_and_wait(service: RunningJobs) -> None:
    first = submit("echo one", state=service.folder, key="python")
    again = submit("echo one", state=service.folder, key="python")
    assert first.job_id == again.job_id
    after = submit("echo two", state=service.folder, after=[first])
    assert after.wait(20) == "done"
    assert after.log() == "two\n"


def test_tasks_live_on_when_the_controller_is_killed_and_a_finish_is_recorded_once(tmp_path: Path) -> None:
    """Rows 2 and 3 of the fault matrix, with real processes."""
    with jobs_service(tmp_path / "state", "A") as service:
        short = service.submit(f"sleep 0.5; echo x >> {tmp_path}/short")
        long = service.submit(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo x >> {tmp_path}/long")
        service.wait_state(long, "running")
        service.wait_state(short, "running")
        service.kill()
        eventually(lambda: lines(tmp_path / "short") == ["x"])
        service.start()
        service.wait_state(short, "done")
        assert service.job(long)["state"] == "running"
        (tmp_path / "go").touch()
        service.wait_state(long, "done")
        assert service.became(short) == service.became(long) == ["queued", "placing", "running", "done"]
        assert lines(tmp_path / "long") == ["x"]


def test_a_dead_node_is_noticed_and_its_task_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Row 4 of the fault matrix: in 10 seconds at most, on the declared backup."""
    nodes = [f"{name}:cpu_cores=4,memory=1GiB,respawn=false" for name in "ABC"]
    with jobs_service(tmp_path / "state", *nodes) as service:
        job_id = service.submit(COUNT, nodes=[], backup="C", forbidden_nodes=["B"])
        eventually(lambda: len(service.log(job_id).splitlines()) > 5)
        source = service.task(job_id)["node"]
        if source == "C":
            service.client.ask("move", task=job_id, node="A")
            eventually(
                lambda: service.task(job_id)["node"] == "A" and service.job(job_id)["state"] == "running"
            )
        before = len(service.log(job_id).splitlines())
        os.kill(service.agent("A").pid, signal.SIGKILL)
        took_s = eventually(
            lambda: f"C {before + 1}" in service.log(job_id) or service.task(job_id)["node"] == "C"
        )
        eventually(lambda: service.job(job_id)["state"] in ("running", "done"))
        assert took_s < 10
        view = service.wait_state(job_id, "done")
        assert any("node A was lost" in each["reason"] for each in view["timeline"])
        assert service.task(job_id)["losses"] == 1
        numbers = [number for _, number in counts(service, job_id)]
        assert numbers[-1] == 40
        assert len(numbers) <= 42  # its progress was kept
        rows = {row["node"]: row["state"] for row in service.client.ask("nodes")["nodes"]}
        assert rows["A"] == "lost"


def test_a_standby_takes_over_from_a_stopped_primary_which_then_gives_up(tmp_path: Path) -> None:
    """Rows 15 and 16 of the fault matrix, with real processes."""
    with jobs_service(tmp_path / "state", "A") as service:
        job_id = service.submit(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo x >> {tmp_path}/out")
        service.wait_state(job_id, "running")
        primary = service.process
        assert primary is not None
        service.start("--standby", ready=False)
        standby = service.process
        assert standby is not None
        time.sleep(0.3)  # not a guess: whenever the standby comes, it must wait
        assert JobsClient(service.folder).ask("status")["process"] == primary.pid
        os.kill(primary.pid, signal.SIGSTOP)
        try:
            # The stopped one still has its socket: do not wait long for its answers.
            service.client.close()
            service.client = JobsClient(service.folder, timeout_s=0.5)
            eventually(service.answers)
        finally:
            os.kill(primary.pid, signal.SIGCONT)
        assert primary.wait(timeout=40) == 3
        (tmp_path / "go").touch()
        service.wait_state(job_id, "done")
        assert lines(tmp_path / "out") == ["x"]
        assert service.client.ask("status")["term"] == 2
