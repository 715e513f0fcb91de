"""Pinned processes: started, waited for, their CPU time and memory read, always ended."""

import contextlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

PROXY_CORE, LOAD_CORE = "0", "1"
START_TIMEOUT_S = 120.0


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def start(
    core: str, *command: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A process on one core; what it prints goes to a file in `cwd`."""
    name = f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
    with (cwd / name).open("wb") as log:
        return subprocess.Popen(
            ["taskset", "-c", core, *command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(environment or {}),
        )


def wait_for(name: str, process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until something listens. Raises SystemExit when it does not come."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"{name} does not listen on port {port}: its exit code is {process.poll()}")


@contextlib.contextmanager
def ended(processes: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """End all processes, and what they started, when the block ends."""
    try:
        yield
    finally:
        trees = [member for process in processes for member in tree(process.pid)]
        for process in processes:
            process.terminate()
        _, left = psutil.wait_procs(trees, timeout=5)
        for member in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        for process in processes:
            process.wait()


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it that live."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Seconds in user and in system mode."""

    user_s: float
    system_s: float

    def since(self, earlier: "CpuTime") -> "CpuTime":
        """What was used since an earlier reading."""
        return CpuTime(self.user_s - earlier.user_s, self.system_s - earlier.system_s)

    @property
    def total_s(self) -> float:
        """User and system."""
        return self.user_s + self.system_s


def cpu_time(pid: int) -> CpuTime:
    """CPU time of a process and all below it, with that of children that were reaped already."""
    user_s = system_s = 0.0
    for member in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            user_s += times.user + times.children_user
            system_s += times.system + times.children_system
    return CpuTime(user_s, system_s)


@dataclass(frozen=True, slots=True)
class Memory:
    """Proportional set size: of all processes together, and of the largest."""

    total_bytes: int
    largest_bytes: int


def memory(pid: int) -> Memory:
    """PSS of a process tree: a page shared by n processes counts 1/n for each."""
    sizes = [_pss_bytes(member.pid) for member in tree(pid)]
    return Memory(sum(sizes), max(sizes, default=0))


def _pss_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
