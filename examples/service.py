"""A jobs service with two nodes of this machine, for the length of an example."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from steelyard.jobs.client import JobsClient, NoService
from steelyard.jobs.executors.local_node import IDENTITY_NAME
from steelyard.jobs.submission import submit_file
from steelyard.runtime.process_identity import ProcessIdentity

TWO_NODES = ("--node", "A:cpu_cores=4,memory=4GiB", "--node", "B:cpu_cores=4,memory=4GiB")
# The tasks' own interpreter, so that they find what this one has.
os.environ.setdefault("PYTHON", sys.executable)


class Service:
    """The service, as an operator sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = JobsClient(folder)

    def submit(self, path: Path) -> str:
        """As `steelyard submit FILE` does; the file's last job."""
        return [*submit_file(self.client, path).values()][-1]

    def view(self, job_id: str) -> dict[str, Any]:
        """As `steelyard job ID` shows it."""
        return self.client.ask("job", job=job_id)

    def log(self, job_id: str, task: int = 0) -> str:
        """As `steelyard logs ID` prints it."""
        return str(self.client.ask("logs", task=f"{job_id}.{task}", offset=0)["text"])

    def node_of(self, job_id: str, task: int) -> str:
        """Where a task runs."""
        return str(self.view(job_id)["task_views"][task]["node"])

    def kill_node(self, name: str) -> None:
        """As a machine that dies: all that ran there is gone at once."""
        data = (self.folder / "nodes" / name / IDENTITY_NAME).read_bytes()
        os.kill(msgspec.json.decode(data, type=ProcessIdentity).pid, signal.SIGKILL)

    def wait(self, job_id: str, timeout_s: float = 300.0) -> None:
        """Until it is done."""
        state = self.client.wait(job_id, timeout_s)
        if state != "done":
            raise SystemExit(f"job {job_id} is {state}: {self.view(job_id)['timeline'][-1]['reason']}")


@contextlib.contextmanager
def jobs_service(*options: str) -> Iterator[Service]:
    """Started, and ended with all that it started. options: of `steelyard up`; by default two nodes."""
    with tempfile.TemporaryDirectory(prefix="steelyard-example-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "steelyard", "up", "--state", name, *(options or TWO_NODES)]
        with (folder / "service.log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        service = Service(folder)
        try:
            until(lambda: answers(service, process), "the service answers")
            yield service
        finally:
            with contextlib.suppress(NoService):
                service.client.ask("down", grace_s=0.5)
            service.client.close()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(service: Service, process: "subprocess.Popen[bytes]") -> bool:
    """Whether it is ready."""
    if process.poll() is not None:
        raise SystemExit((service.folder / "service.log").read_text())
    with contextlib.suppress(NoService):
        return bool(service.client.ask("status")["process"] == process.pid)
    return False


def until(condition: Callable[[], bool], what: str, timeout_s: float = 120.0) -> float:
    """Wait; how long it took."""
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > timeout_s:
            raise SystemExit(f"gave up after {timeout_s:.0f} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - began_s
