"""A service that follows another on the same journal, and was told less or something else: real processes."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness.jobs import NODE, RunningJobs, eventually, jobs_service, lines

from steelyard.jobs.client import NoService
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.jobs.service_options import ServiceOptions, Told
from steelyard.model.errors import ConfigError
from steelyard.runtime.process_identity import identify


def gated(folder: Path, name: str) -> str:
    """Runs until it is let go, and leaves a line each time it ends well."""
    return f"until [ -e {folder}/go-{name} ]; do sleep 0.05; done; echo x >> {folder}/{name}"


def states(service: RunningJobs) -> dict[str, str]:
    return {row["node"]: row["state"] for row in service.client.ask("nodes")["nodes"]}


def test_a_standby_that_is_told_nothing_goes_on_with_what_the_primary_was_told(tmp_path: Path) -> None:
    with jobs_service(tmp_path / "state", "A", "B", options=("--ordering", "fifo")) as service:
        during, after = (service.submit(gated(tmp_path, name)) for name in ("during", "after"))
        for job_id in (during, after):
            service.wait_state(job_id, "running")
        service.options, primary = (), service.process
        service.start("--standby", ready=False)
        standby, service.process = service.process, primary
        eventually(lambda: "waiting for the lease" in (service.folder / "service.log").read_text())
        service.kill()
        (tmp_path / "go-during").touch()
        service.process = standby
        eventually(service.answers)
        service.wait_state(during, "done", timeout_s=10)
        (tmp_path / "go-after").touch()
        service.wait_state(after, "done", timeout_s=10)
        assert lines(tmp_path / "during") == lines(tmp_path / "after") == ["x"]
        assert states(service) == {"A": "up", "B": "up"}
        assert "nodes: A, B" in (service.folder / "service.log").read_text()
        assert "ordering fifo" in (service.folder / "service.log").read_text()
        service.wait_state(service.submit("true"), "done")


def test_a_standby_in_the_background_says_that_it_stands_by_and_takes_over(tmp_path: Path) -> None:
    with jobs_service(tmp_path / "state", "A") as service:
        job_id = service.submit(gated(tmp_path, "job"))
        service.wait_state(job_id, "running")
        command = [sys.executable, "-m", "steelyard", "up", "--state", str(service.folder)]
        said = subprocess.run(
            [*command, "--standby", "--detach"], capture_output=True, text=True, timeout=40,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(service.paths)},
        )  # fmt: skip
        assert said.returncode == 0, said.stderr
        found = re.fullmatch(r"jobs service (\d+) stands by; its log is (.+)\n", said.stdout)
        assert found, said.stdout
        standby = identify(int(found[1]))
        assert standby is not None
        try:
            assert found[2] == str(service.folder / "service.log")
            assert service.answers(), "the first one serves"
            service.kill()
            eventually(lambda: serving(service) == standby.pid)
            (tmp_path / "go-job").touch()
            service.wait_state(job_id, "done")
            assert lines(tmp_path / "job") == ["x"]
        finally:
            os.kill(standby.pid, signal.SIGTERM)
            eventually(lambda: not standby.exists)


def serving(service: RunningJobs) -> int:
    try:
        pid: int = service.client.ask("status")["process"]
    except NoService:
        return 0
    return pid


def test_tasks_of_a_node_that_is_not_declared_any_more_run_to_their_ends(tmp_path: Path) -> None:
    with jobs_service(tmp_path / "state", "A") as service:
        first = service.submit(gated(tmp_path, "first"))
        service.wait_state(first, "running")
        agent = service.agent("A")
        service.kill()
        service.options = ("--node", f"C:{NODE}")
        service.start()
        eventually(lambda: states(service) == {"A": "former", "C": "up"})
        second = service.submit(gated(tmp_path, "second"))
        service.wait_state(second, "running")
        assert service.task(second)["node"] == "C"
        assert service.job(first)["state"] == "running"
        (tmp_path / "go-first").touch()
        service.wait_state(first, "done", timeout_s=10)
        eventually(lambda: states(service) == {"C": "up"} and not agent.exists)
        assert lines(tmp_path / "first") == ["x"]
        (tmp_path / "go-second").touch()
        service.wait_state(second, "done")


def test_a_former_node_whose_agent_died_gives_its_tasks_to_another(tmp_path: Path) -> None:
    with jobs_service(tmp_path / "state", "A", "B") as service:
        jobs = [
            service.submit(gated(tmp_path, name), nodes=[node]) for name, node in (("a", "A"), ("b", "B"))
        ]
        for job_id in jobs:
            service.wait_state(job_id, "running")
        service.kill()
        service.agent("A").kill_group()
        service.agent("B").kill_group()
        shutil.rmtree(service.folder / "nodes" / "B")  # not even its declaration is left
        service.options = ("--node", f"C:{NODE}")
        service.start()
        for job_id in jobs:
            eventually(lambda job_id=job_id: service.task(job_id)["losses"] == 1, timeout_s=20)
        assert any(
            "knows no such node any more" in each["reason"] for each in service.job(jobs[1])["timeline"]
        )
        assert service.job(jobs[0])["state"] == "queued", "it names its node"
        assert eventually(lambda: states(service) == {"C": "up"}, timeout_s=20) is not None


def test_another_executor_does_not_take_up_what_one_still_runs(tmp_path: Path) -> None:
    with jobs_service(tmp_path / "state", "A") as service:
        service.wait_state(service.submit(gated(tmp_path, "x")), "running")
        service.kill()
        service.options = ("--executor", "slurm")
        service.start(ready=False)
        assert service.process is not None
        assert service.process.wait(timeout=30) == 2
        assert ": 1; they are with the local executor" in (service.folder / "service.log").read_text()


LAST = ServiceOptions(nodes=[LocalNode(name="A")], placement="best-fit", smoothing_s=1.0)


def test_what_is_said_goes_before_what_was_said() -> None:
    told = Told(ServiceOptions(placement="worst-fit", ordering="fifo"), frozenset({"ordering"}))
    found = told.as_standby(LAST.kept())
    assert (found.placement, found.ordering, found.smoothing_s) == ("best-fit", "fifo", 1.0)
    assert [node.name for node in found.nodes] == ["A"]
    assert told.as_standby(None) == told.options


def test_nodes_of_one_executor_are_not_for_another() -> None:
    told = Told(ServiceOptions(executor="ray", address="head:6379"), frozenset({"executor", "address"}))
    found = told.as_standby(LAST.kept())
    assert (found.nodes, found.address) == ([], "head:6379")
    with pytest.raises(ConfigError, match="needs --address"):
        Told(ServiceOptions(executor="ray"), frozenset({"executor"})).as_standby(LAST.kept()).plan_options()


def test_options_of_another_version_are_said_so() -> None:
    with pytest.raises(ConfigError, match="another version"):
        Told(ServiceOptions()).as_standby(b'{"smoothing_s": "fast"}')
