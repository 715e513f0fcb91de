"""A jobs service of real processes for a test, and its end with all that it started."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from tests.harness.processes import wait_until

from steelyard.jobs.client import JobsClient, NoService
from steelyard.jobs.executors.attempt_process import NODE_MARK
from steelyard.jobs.executors.local_node import IDENTITY_NAME
from steelyard.jobs.specification import from_table
from steelyard.runtime.process_identity import ProcessIdentity, carrying

NODE = "cpu_cores=8,memory=4GiB,sample_interval=0.3"


class RunningJobs:
    """One service folder and the process that serves it, if it does."""

    def __init__(self, folder: Path, *options: str, paths: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.paths = (*paths, *(path for path in sys.path if path))
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.client = JobsClient(folder)

    def start(self, *more: str, ready: bool = True) -> None:
        """Start the service; wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "steelyard", "up", "--state", str(self.folder), *self.options, *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(self.paths)},
            )
        if ready:
            wait_until(self.answers, timeout_s=30)

    def answers(self) -> bool:
        """Whether our own process serves."""
        try:
            return self.process is not None and self.client.ask("status")["process"] == self.process.pid
        except NoService:
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "service.log").read_text()
            return False

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.client.close()

    def submit(self, command: str, key: str = "", **table: Any) -> str:
        """A shell command as a job."""
        table.setdefault("resources", {"cpu_cores": 0.5})
        specification = from_table({"command": command, **table}, self.folder)
        return self.client.submit(specification, key)

    def job(self, job_id: str) -> dict[str, Any]:
        """All about a job."""
        return self.client.ask("job", job=job_id)

    def task(self, job_id: str, index: int = 0) -> dict[str, Any]:
        """One task of it."""
        found: dict[str, Any] = self.job(job_id)["task_views"][index]
        return found

    def wait_state(self, job_id: str, state: str, timeout_s: float = 40) -> dict[str, Any]:
        """Wait until a job is in a state."""
        wait_until(lambda: self.job(job_id)["state"] == state, timeout_s=timeout_s)
        return self.job(job_id)

    def became(self, job_id: str) -> list[str]:
        """The states that a job's tasks went through."""
        return [each["after"] for each in self.job(job_id)["timeline"]]

    def log(self, job_id: str, index: int = 0) -> str:
        """What a task wrote."""
        text: str = self.client.ask("logs", task=f"{job_id}.{index}", offset=0)["text"]
        return text

    def agent(self, node: str) -> ProcessIdentity:
        """The agent of a node."""
        data = (self.folder / "nodes" / node / IDENTITY_NAME).read_bytes()
        return msgspec.json.decode(data, type=ProcessIdentity)

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.client.close()
        nodes = self.folder / "nodes"
        for folder in nodes.iterdir() if nodes.exists() else ():
            with contextlib.suppress(OSError):
                self.agent(folder.name).kill_group()
            for pid in carrying(NODE_MARK, str(folder.resolve())):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def jobs_service(
    folder: Path,
    *nodes: str,
    options: tuple[str, ...] = (),
    nodes_declared: bool = False,
    paths: tuple[str, ...] = (),
) -> Iterator[RunningJobs]:
    """A service with these nodes (names, or NAME:KEY=VALUE,...) for the length of a block.

    nodes_declared: in a file of the folder, so none are named here. paths: to import from, before others.
    """
    names = () if nodes_declared else nodes or ("A", "B")
    named = [node if ":" in node else f"{node}:{NODE}" for node in names]
    running = RunningJobs(
        folder, *(each for node in named for each in ("--node", node)), *options, paths=paths
    )
    try:
        running.start()
        yield running
    finally:
        running.end()


def lines(path: Path) -> list[str]:
    """What was appended to a file so far."""
    return path.read_text().split() if path.exists() else []


def eventually(condition: Any, timeout_s: float = 40) -> float:
    """Wait for a condition; how long it took."""
    began_s = time.monotonic()
    wait_until(condition, timeout_s=timeout_s)
    return time.monotonic() - began_s
