"""Stands for Slurm where it is not installed: the same commands, printing what Slurm 22.05.8 printed.

It runs a job at once as a process of this machine; it schedules nothing. What it proves is our side: the
options, the parsing, the shared folder. The real thing is `make test-slurm`.
"""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")
# Recorded; the port is the stub's own.
NODE = (
    "NodeName={name} Arch=x86_64 CoresPerSocket=1  CPUAlloc=0 CPUEfctv=2 CPUTot=2 CPULoad=8.03 "
    "AvailableFeatures=(null) ActiveFeatures=(null) Gres=gpu:a100:4(S:0-1) NodeAddr=127.0.0.1 "
    "NodeHostName=vm Port={port} Version=22.05.8 OS=Linux 6.1 #1 SMP PREEMPT_DYNAMIC @0  RealMemory=2000 "
    "AllocMem=0 FreeMem=20332 Sockets=2 Boards=1 State={state} ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A "
    "MCS_label=N/A Partitions=main  BootTime=2026-11-24T22:45:57 SlurmdStartTime=2026-11-24T23:35:00 "
    "CfgTRES=cpu=2,mem=2000M,billing=2 AllocTRES= CapWatts=n/a CurrentWatts=0 AveWatts=0"
)


def kill_at_once(processes: Iterable[psutil.Process]) -> None:
    """As when the power goes: none has the time to tell of another's end."""
    victims = [*processes]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


class SlurmStub:
    """Nodes that listen, and a folder of jobs."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder = folder
        self._listeners = {name: socket.create_server(("127.0.0.1", 0), backlog=64) for name in names}
        commands = folder / "bin"
        commands.mkdir()
        (folder / "jobs").mkdir()
        for command in COMMANDS:
            script = commands / command
            script.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {command} {folder} "$@"\n')
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        self.environment = os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
        (folder / "nodes").write_text(
            "\n".join(
                NODE.format(name=name, port=listener.getsockname()[1], state="IDLE")
                for name, listener in self._listeners.items()
            )
        )

    def kill_node(self, name: str) -> None:
        """Its daemon and all its jobs."""
        self._listeners[name].close()
        kill_at_once(process for process in psutil.process_iter() if self._is_on(process, name))

    def _is_on(self, process: psutil.Process, name: str) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            return process.environ().get("STUB_NODE") == f"{self.folder}/{name}"
        return False

    def stop(self) -> None:
        """End all of it."""
        for name in self._listeners:
            self.kill_node(name)


@contextlib.contextmanager
def slurm_stub(*names: str) -> Iterator[SlurmStub]:
    """A stub for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="sy") as folder:
        stub = SlurmStub(Path(folder), names)
        try:
            yield stub
        finally:
            stub.stop()


def sbatch(folder: Path, arguments: list[str]) -> None:
    """Run it, detached; its id is its process's."""
    given = dict(each.partition("=")[::2] for each in arguments if each.startswith("--") and "=" in each)
    child = subprocess.Popen(
        ["/bin/sh", "-c", arguments[arguments.index("--wrap") + 1]],
        env=os.environ | {"STUB_NODE": f"{folder}/{given['--nodelist']}"},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    (folder / "jobs" / str(child.pid)).write_text(given["--job-name"])
    print(child.pid)
    child.returncode = 0  # it is not ours to wait for


def squeue(folder: Path, arguments: list[str]) -> None:
    """Those that still run."""
    for job in (folder / "jobs").iterdir():
        if psutil.pid_exists(int(job.name)) and psutil.Process(int(job.name)).status() != "zombie":
            print(f"{job.name}|{job.read_text()}|RUNNING|None")


def scancel(folder: Path, arguments: list[str]) -> None:
    """As asked: SIGTERM to the batch process, or the end of all of it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        batch = psutil.Process(int(arguments[-1]))
        if "--signal=TERM" in arguments:
            batch.send_signal(signal.SIGTERM)
            return
        for process in [batch, *batch.children(recursive=True)]:
            process.kill()


def scontrol(folder: Path, arguments: list[str]) -> None:
    """The recorded answer."""
    print((folder / "nodes").read_text())


if __name__ == "__main__":
    _, command_name, folder_name, *rest = sys.argv
    {"sbatch": sbatch, "squeue": squeue, "scancel": scancel, "scontrol": scontrol}[command_name](
        Path(folder_name), rest
    )
