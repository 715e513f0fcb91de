"""Slurm's commands, and what they print, as values.

Written against Slurm 22.05; text and not JSON, whose shape changes from version to version. Every call has a
time limit: a controller daemon that does not answer must not hold ours up.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steelyard.jobs.executor import ExecutorError

TIMEOUT_S = 5.0
NAME_PREFIX = "steelyard:"
GONE_STATES = ("DOWN", "FAIL", "ERROR", "UNKNOWN", "POWERED_DOWN", "NO_RESPOND")
SHUT_STATES = ("DRAIN", "MAINT", "RESERVED", "INVAL")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmNode:
    """One node as slurmctld knows it.

    answers: whether slurmctld believes in it; it says so minutes late.
    is_shut: drained or kept for something else: takes no new work.
    """

    name: str
    address: str
    port: int
    cpus: float
    memory_bytes: float
    free_memory_bytes: float
    cpu_load: float
    gpus: float
    answers: bool
    is_shut: bool


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """One of ours in the queue. reason: why it waits, in Slurm's words."""

    job_id: str
    name: str
    state: str
    reason: str


class SlurmUnavailable(Exception):
    """slurmctld did not answer, or refused: what it said."""


@dataclass(frozen=True, slots=True)
class Slurm:
    """The commands, run with this environment (`SLURM_CONF` names the cluster)."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def run(self, *command: str) -> str:
        """What it printed. Raises SlurmUnavailable, or ExecutorError when the command is not installed."""
        try:
            done = subprocess.run(
                command, env=dict(self.environment), stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise ExecutorError(
                f"`{command[0]}` is not installed: install Slurm's client commands (Debian: slurm-client)"
            ) from None
        except subprocess.TimeoutExpired:
            raise SlurmUnavailable(f"`{command[0]}` did not answer in {TIMEOUT_S:.0f} s") from None
        if done.returncode != 0:
            raise SlurmUnavailable(done.stderr.strip() or f"`{command[0]}` ended with {done.returncode}")
        return done.stdout

    def nodes(self) -> list[SlurmNode]:
        """All nodes."""
        return parse_nodes(self.run("scontrol", "show", "node", "--oneliner"))

    def queue(self) -> list[QueuedJob]:
        """Our jobs that wait or run."""
        return parse_queue(self.run("squeue", "--noheader", "--me", "--format=%i|%j|%T|%r"))

    def submit(self, options: Sequence[str], script: str) -> str:
        """Hand in a batch job; its id."""
        return self.run("sbatch", "--parsable", *options, "--wrap", script).strip().partition(";")[0]

    def cancel(self, job_id: str, *, signal: str = "") -> None:
        """End a job, or send its batch process a signal. One that is not there is no error."""
        options = (f"--signal={signal}", "--batch") if signal else ()
        self.run("scancel", "--quiet", *options, job_id)


def parse_nodes(text: str) -> list[SlurmNode]:
    """From `scontrol show node --oneliner`."""
    return [_node(_pairs(line)) for line in text.splitlines() if line.startswith("NodeName=")]


def parse_queue(text: str) -> list[QueuedJob]:
    """From `squeue --format=%i|%j|%T|%r`; other people's jobs are left out."""
    found = []
    for line in text.splitlines():
        parts = line.split("|")
        if len(parts) == 4 and parts[1].startswith(NAME_PREFIX):
            found.append(QueuedJob(parts[0], parts[1].removeprefix(NAME_PREFIX), parts[2], parts[3]))
    return found


def _pairs(line: str) -> dict[str, str]:
    """KEY=VALUE words; a word without `=` belongs to the value before it."""
    pairs: dict[str, str] = {}
    key = ""
    for word in line.split():
        name, equals, value = word.partition("=")
        if equals and name.isidentifier():
            key = name
            pairs[key] = value
        elif key:
            pairs[key] += f" {word}"
    return pairs


def _node(pairs: Mapping[str, str]) -> SlurmNode:
    # Such as IDLE, MIXED+DRAIN, DOWN*: the star says that slurmctld hears nothing of it.
    state = pairs.get("State", "UNKNOWN")
    words = state.rstrip("*~#!%$@^-").split("+")
    return SlurmNode(
        name=pairs["NodeName"],
        address=pairs.get("NodeAddr", pairs["NodeName"]),
        port=int(pairs.get("Port", "6818")),
        cpus=_number(pairs.get("CPUEfctv") or pairs.get("CPUTot")),
        memory_bytes=_number(pairs.get("RealMemory")) * 2**20,
        free_memory_bytes=_number(pairs.get("FreeMem")) * 2**20,
        cpu_load=_number(pairs.get("CPULoad")),
        gpus=sum(_gpus(each) for each in pairs.get("Gres", "").split(",")),
        answers="*" not in state and not any(word in GONE_STATES for word in words),
        is_shut=any(word in SHUT_STATES for word in words),
    )


def _gpus(resource: str) -> float:
    """From gpu:4, gpu:a100:4 or gpu:a100:4(S:0-1)."""
    parts = resource.partition("(")[0].split(":")
    return _number(parts[-1]) if parts[0] == "gpu" else 0.0


def _number(text: str | None) -> float:
    """0 for what Slurm does not know (N/A)."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
