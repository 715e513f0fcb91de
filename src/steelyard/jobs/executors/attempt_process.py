"""One attempt as processes: started under its limits, watched, and ended whole.

The first process leads a session and a process group of its own; it dies with the agent of its node
(PR_SET_PDEATHSIG). What it leaves behind, also what left its group, is found by the group, and by the
agent being the reaper of orphans (PR_SET_CHILD_SUBREAPER), told apart by an inherited variable.
"""

import ctypes
import os
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from steelyard.jobs.executor import StartOrder
from steelyard.jobs.executors.control_group import ControlGroup
from steelyard.runtime.process_identity import ProcessIdentity, children_of, identify

MARK = "STEELYARD_ATTEMPT"
NODE_MARK = "STEELYARD_NODE_FOLDER"
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
# The resident size is what is held to the limit (once a second, by the agent). The kernel is given this
# coarser one for what allocates faster than that: data segments count reserved, not used, memory.
_DATA_LIMIT_FACTOR, _DATA_LIMIT_EXTRA_BYTES = 4, 1 << 30


def become_reaper() -> None:
    """Orphans of this process's descendants become its children."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(slots=True)
class AttemptProcess:
    """One running attempt.

    asked_at_s: monotonic time of the request to stop; None before it.
    kill_at_s: when it is ended by force.
    limit_at_s: when its time is over; None for no limit.
    """

    order: StartOrder
    child: subprocess.Popen[bytes]
    identity: ProcessIdentity
    group: ControlGroup | None = None
    asked_at_s: float | None = None
    kill_at_s: float | None = None
    why_killed: str = ""
    disk_full: bool = False
    limit_at_s: float | None = None
    timed_out: bool = False

    def ask_to_stop(self, grace_s: float, now_s: float) -> None:
        """SIGTERM to the whole group now, SIGKILL after the grace; asked again, only the grace may shrink."""
        until_s = now_s + grace_s
        if self.asked_at_s is None and self.child.returncode is None:
            self.asked_at_s = now_s
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # one that was stopped by hand must wake up to leave
        self.kill_at_s = until_s if self.kill_at_s is None else min(until_s, self.kill_at_s)

    def keep_time(self, now_s: float) -> None:
        """Ask it to stop once its time is over."""
        if self.limit_at_s is not None and now_s >= self.limit_at_s and self.asked_at_s is None:
            self.timed_out = True
            self.ask_to_stop(self.order.grace_s, now_s)

    def kill(self) -> None:
        """End all of it."""
        self._signal(signal.SIGKILL)
        if self.group is not None:
            self.group.kill()
        for pid in self.left_behind():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # The id is free for others only once we reaped the leader, and its group only once it is empty.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, number)

    def has_group(self) -> bool:
        """Whether any process is left in its group."""
        try:
            os.killpg(self.child.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def left_behind(self) -> list[int]:
        """Orphans of this attempt, now ours."""
        mark = f"{MARK}={self.order.attempt}".encode()
        found = []
        for pid in children_of(os.getpid()):
            if pid != self.child.pid:
                with suppress(OSError):
                    if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                        found.append(pid)
        return found


def spawn(
    order: StartOrder, node_folder: Path, cpus: Sequence[int], group: ControlGroup | None
) -> AttemptProcess:
    """Start the processes. Raises OSError: no such command or folder, no process left, disk full."""
    environment = os.environ | dict(order.environment)
    environment |= {MARK: str(order.attempt), NODE_MARK: str(node_folder)}
    if order.demand.gpus or "CUDA_VISIBLE_DEVICES" not in environment:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, order.gpu_indices))
    log = Path(order.log_path)
    log.parent.mkdir(parents=True, exist_ok=True)
    parent = os.getpid()

    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the agent died before the line above
            os._exit(1)
        if group is not None:
            group.add(os.getpid())  # before it can start anything
        _limit(order, cpus)

    with log.open("ab") as output:
        child = subprocess.Popen(
            order.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=order.working_directory or None,
            start_new_session=True,
            preexec_fn=prepare,
        )
    # Not reaped before we do, so it is there.
    identity = identify(child.pid) or ProcessIdentity(child.pid, 0)
    limit_at_s = time.monotonic() + order.time_limit_s if order.time_limit_s else None
    return AttemptProcess(order, child, identity, group, limit_at_s=limit_at_s)


def _limit(order: StartOrder, cpus: Sequence[int]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if order.demand.memory_bytes:
        wanted = int(order.demand.memory_bytes * _DATA_LIMIT_FACTOR) + _DATA_LIMIT_EXTRA_BYTES
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if cpus:
        with suppress(OSError):  # cores may have gone off line since the node was declared
            os.sched_setaffinity(0, cpus)
    if order.nice:
        with suppress(OSError):  # below 0 is for root
            os.nice(order.nice)
