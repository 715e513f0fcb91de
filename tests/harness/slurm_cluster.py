"""Slurm on this machine: a munged, a slurmctld and several named slurmd, each our child. Needs root."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from tests.harness.gangs import free_port
from tests.harness.processes import wait_until
from tests.harness.slurm_stub import kill_at_once

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
CONFIGURATION = """
ClusterName=steelyard
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
SlurmdTimeout=30
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=2000 State=UNKNOWN"
)


class SlurmCluster:
    """Started in the foreground, so that each daemon is our child; ended by id."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        host = socket.gethostname().partition(".")[0]
        nodes = "\n".join(NODE.format(name=name, host=host, port=free_port()) for name in names)
        text = CONFIGURATION.format(host=host, port=free_port(), folder=folder, nodes=nodes)
        (folder / "slurm.conf").write_text(text)
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o600)
        (folder / "state").mkdir()
        self._start(
            "munged", "munged", "--foreground", "--force", f"--socket={folder}/munge.socket",
            f"--key-file={folder}/munge.key", f"--pid-file={folder}/munge.pid",
            f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed",
        )  # fmt: skip
        wait_until((folder / "munge.socket").exists)
        self._start("slurmctld", "slurmctld", "-D", "-i")
        for name in names:
            self._start(name, "slurmd", "-D", "-N", name)
        wait_until(lambda: self.states() == dict.fromkeys(names, "idle"), timeout_s=60)

    def _start(self, name: str, *command: str) -> None:
        with (self._folder / f"{name}.out").open("wb") as log:
            self._children[name] = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def run(self, *command: str) -> str:
        """One command's output; empty while the controller does not answer."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout

    def states(self) -> dict[str, str]:
        """Each node's state as Slurm has it."""
        return dict(line.split() for line in self.run("sinfo", "-h", "-N", "-o", "%N %T").splitlines())

    def kill_node(self, name: str) -> None:
        """As a machine that dies: its slurmd and all that it started, at once."""
        victims = [psutil.Process(self._children[name].pid)]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get("SLURMD_NODENAME") == name:
                    victims.append(process)
                    parent = process.parent()
                    if parent is not None and "slurmstepd" in parent.name():
                        victims.append(parent)
        kill_at_once(victims)

    def stop(self) -> None:
        """End all of it."""
        self.run("scancel", "--full", "-u", "root", "--signal=KILL")
        for child in reversed(self._children.values()):
            child.terminate()
        for child in self._children.values():
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@contextlib.contextmanager
def slurm_cluster(*names: str) -> Iterator[SlurmCluster]:
    """A cluster for the length of a block."""
    folder = Path(tempfile.mkdtemp(prefix="sy"))
    cluster = None
    try:
        cluster = SlurmCluster(folder, names)
        yield cluster
    finally:
        if cluster is not None:
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
