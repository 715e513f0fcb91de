"""A Ray cluster on this machine: a head that offers nothing, and named raylets, each a child of its own."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from tests.harness.gangs import free_port
from tests.harness.processes import wait_until

PYTHON_VARIABLE = "STEELYARD_RAY_PYTHON"
MEMORY = ("--object-store-memory=80000000",)


class RayDidNotStart(Exception):
    """What Ray said."""


class RayCluster:
    """Started with `ray start --block`; ended by process group."""

    def __init__(self, python: str, folder: Path) -> None:
        self._ray = str(Path(python).with_name("ray"))
        self._folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._port = free_port()
        try:
            self.start_head()
        except RayDidNotStart:
            # Somebody took the port meanwhile, or Ray's own start-up lost a race on a busy machine.
            self._port = free_port()
            self.start_head()

    def start_head(self) -> None:
        """Start it, or start it again in the same place."""
        without = ("--num-cpus=0", "--include-dashboard=false")
        self._start("head", "--head", f"--port={self._port}", *without, f"--temp-dir={self._folder}/r")
        found = re.search(r"--address='([^']+)'", self._log("head"))
        assert found, self._log("head")
        self.address = found[1]

    def _log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def _start(self, name: str, *options: str) -> None:
        # Short limits, so that a test does not wait a minute for raylets to give up on a lost head.
        environment = os.environ | {
            "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
            "RAY_raylet_start_wait_time_s": "80",  # 30 s do not suffice on a busy machine
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        with (self._folder / f"{name}.log").open("wb") as log:
            child = subprocess.Popen(
                [self._ray, "start", "--block", "--disable-usage-stats", *MEMORY, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip
        self._children[name] = child
        wait_until(lambda: "block forever" in self._log(name) or child.poll() is not None, timeout_s=90)
        if child.poll() is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            raise RayDidNotStart(self._log(name))

    def add_node(self, name: str, *, cpus: int = 2, **labels: str) -> None:
        """One more raylet. Not two at once: Ray's own start-up races on one machine."""
        given = {"steelyard-node": name} | labels
        text = ",".join(f"{key}={value}" for key, value in given.items())
        options = (f"--address={self.address}", f"--num-cpus={cpus}", f"--labels={text}")
        try:
            self._start(name, *options)
        except RayDidNotStart:
            self._start(name, *options)

    def _pid(self, name: str, program: str) -> int:
        """The process of a program below one of ours."""
        children = psutil.Process(self._children[name].pid).children()
        return next(child.pid for child in children if program in child.cmdline()[0])

    def kill_raylet(self, name: str) -> None:
        """As a machine that dies: SIGKILL."""
        os.kill(self._pid(name, "raylet/raylet"), signal.SIGKILL)

    def kill_head(self) -> None:
        """The control service of the head."""
        os.kill(self._pid("head", "gcs_server"), signal.SIGKILL)

    def wait_until_ended(self) -> None:
        """After the loss of the head its raylets give up, and their programs with them."""
        for child in self._children.values():
            child.wait(timeout=60)

    def stop(self) -> None:
        """End all of it."""
        for child in reversed(self._children.values()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
        for child in self._children.values():
            try:
                child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                pass
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextlib.contextmanager
def ray_cluster(*names: str) -> Iterator[RayCluster]:
    """A cluster for the length of a block."""
    # Not pytest's folder: Ray's sockets below it would have too long a path.
    folder = Path(tempfile.mkdtemp(prefix="sy"))
    cluster = RayCluster(os.environ[PYTHON_VARIABLE], folder)
    try:
        for name in names:
            cluster.add_node(name)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
