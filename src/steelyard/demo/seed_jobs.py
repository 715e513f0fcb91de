"""The seed's case played with real processes: place, watch, move off a hot node, survive a dead one."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from steelyard.demo.seed_case import NODE_LOADS, TASKS, SeedTask
from steelyard.jobs.client import JobsClient, NoService
from steelyard.jobs.executors.attempt_process import NODE_MARK
from steelyard.jobs.executors.local_node import IDENTITY_NAME
from steelyard.jobs.specification import from_table
from steelyard.model.errors import SteelyardError
from steelyard.model.metrics import balance_degree, utilisation
from steelyard.model.task import Assignment
from steelyard.runtime.process_identity import ProcessIdentity, carrying

NODE_CORES = 0.3  # the loads of five such nodes take a third of a core
NODE_MEMORY_BYTES = 400 << 20
PROGRAM = (sys.executable, "-m", "steelyard.demo.seed_task")
STEPS_AN_HOUR = 40
TASK_CPU_SHARE = 0.20  # of its node, reserved
HOT_SHARE = 0.50  # what another program takes of D, besides the 0.10 that it has


class DemoFailed(SteelyardError):
    """The demo did not show what it says it shows."""


@dataclass(slots=True)
class Scene:
    """The cluster at one moment: the seed's S and A with its two measures."""

    title: str
    cpu: dict[str, float]
    memory: dict[str, float]
    places: dict[str, str]
    states: dict[str, str]

    @property
    def assignment(self) -> Assignment:
        """The seed's matrix A."""
        names = [task.name for task in TASKS]
        return Assignment.from_places(names, [*NODE_LOADS], self.places)

    def measures(self) -> tuple[float, float]:
        """Utilisation and balance degree of the measured CPU load, over nodes that live."""
        loads = [*self.cpu.values()]
        return utilisation(loads), balance_degree(loads)

    def task_measures(self) -> tuple[float, float]:
        """The same of tasks a node."""
        counts = [sum(place == node for place in self.places.values()) for node in self.cpu]
        return utilisation(counts), balance_degree(counts)


@dataclass(slots=True)
class SeedDemo:
    """One performance.

    hour_s: how long an hour of the seed takes.
    say: tells the audience.
    """

    folder: Path
    hour_s: float
    say: Callable[[str], None]
    jobs: dict[str, str] = field(default_factory=dict)
    scenes: list[Scene] = field(default_factory=list)
    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    began_wall_s: float = 0.0

    def play(self) -> None:
        """All of it. Raises DemoFailed."""
        with self._service() as client:
            self.began_wall_s = time.time()
            self.say("five nodes with the loads of the seed come up: each load is a process of its own")
            for node, (cpu, memory) in NODE_LOADS.items():
                self._load(client, f"load-{node}", node, cpu, memory)
            self._until(client, lambda: self._loads_are_right(client), "the nodes reach their loads", 30)
            self._scene(client, "before")
            for task in TASKS:
                self._submit(client, task)
            self._until(client, lambda: len(self._places(client)) == len(TASKS), "all tasks run", 20)
            self.say(
                "ten tasks are placed, each on the node of least load: CPU and memory, reserved or measured"
            )
            self._watch(client, 2.5)
            self._scene(client, "placed")
            self._hot_node(client)
            self._dead_node(client)
            self._until(client, lambda: self._all_done(client), "all tasks are done", 8 * self.hour_s + 30)
            self._scene(client, "at the end")
            self.timelines = {name: client.ask("job", job=job_id) for name, job_id in self.jobs.items()}
            self.logs = {
                name: client.ask("logs", task=f"{self.jobs[name]}.0", offset=0)["text"]
                for name in ("T1", "T5")
            }

    timelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)

    def _hot_node(self, client: JobsClient) -> None:
        self.say("D becomes hot: another program takes half of its CPU")
        self._load(client, "surge-D", "D", HOT_SHARE, 0.02)
        self._until(client, lambda: self._where(client, "T1") == ("running", "E"), "T1 moved to E", 30)
        self._scene(client, "D is hot, T1 moved")
        self.say("T1 was asked to stop, kept its progress, and goes on on E")

    def _dead_node(self, client: JobsClient) -> None:
        if self._where(client, "T5")[1] != "A":
            raise DemoFailed(f"T5 runs on {self._where(client, 'T5')[1]}, not on A")
        self.say("A is killed (SIGKILL to its agent): nothing of it is left")
        killed_s = time.monotonic()
        os.kill(self._agent("A").pid, signal.SIGKILL)
        self._until(client, lambda: self._where(client, "T5") == ("running", "B"), "T5 goes on on B", 20)
        took_s = time.monotonic() - killed_s
        self._scene(client, "A is dead, T5 on its backup")
        self.say(f"T5 runs on its backup B {took_s:.1f} s after the kill, from its checkpoint")

    # --- parts --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _service(self) -> Iterator[JobsClient]:
        """A jobs service with the five nodes, and its end with all that it started."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "service.log").open("ab") as log:
            service = subprocess.Popen(
                [sys.executable, "-m", "steelyard", "up", "--state", str(self.folder), *_options()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        client = JobsClient(self.folder)
        try:
            self._until(client, lambda: _answers(client, service), "the jobs service answers", 30)
            yield client
        finally:
            client.close()
            service.kill()
            service.wait()
            for node in NODE_LOADS:
                with contextlib.suppress(OSError):
                    self._agent(node).kill_group()
                for pid in carrying(NODE_MARK, str((self.folder / "nodes" / node).resolve())):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    def _agent(self, node: str) -> ProcessIdentity:
        data = (self.folder / "nodes" / node / IDENTITY_NAME).read_bytes()
        return msgspec.json.decode(data, type=ProcessIdentity)

    def _load(self, client: JobsClient, name: str, node: str, cpu: float, memory: float) -> None:
        size_bytes = max(0, int(memory * NODE_MEMORY_BYTES) - (11 << 20))  # an interpreter has about 11 MiB
        table = {
            "name": name,
            "command": [*PROGRAM, "load", f"{cpu * NODE_CORES:.4f}", str(size_bytes)],
            "resources": {"cpu_cores": 0.0 if name.startswith("surge") else cpu * NODE_CORES},
            "nodes": [node],
            "preemptible": False,
            "grace": 0.1,
        }
        client.submit(from_table(table, Path.cwd()), name)

    def _submit(self, client: JobsClient, task: SeedTask) -> None:
        steps = round(task.hours * STEPS_AN_HOUR)
        table = {
            "name": task.name,
            "command": [*PROGRAM, "work", str(steps), f"{self.hour_s / STEPS_AN_HOUR:.4f}"],
            "resources": {
                "cpu_cores": TASK_CPU_SHARE * NODE_CORES,
                "memory": task.size_mb / 1000 * NODE_MEMORY_BYTES,
            },
            "expected_time": task.hours * self.hour_s,
            "size": task.size_mb * 1e6,
            "grace": 3,
        }
        if task.name == "T1":
            # The first to leave a hot node; its data is on two, as the article has it run there.
            table |= {"nodes": ["D", "E"], "priority": -1}
        if task.name == "T5":
            table |= {"nodes": ["A", "B"], "backup": "B", "priority": 1}  # critical: its data is on both
        self.jobs[task.name] = client.submit(from_table(table, Path.cwd()), task.name)

    def _watch(self, client: JobsClient, seconds: float) -> None:
        """Let the measurements catch up with what was done."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._nodes(client)
            time.sleep(0.1)

    def _until(self, client: JobsClient, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise DemoFailed(f"not within {timeout_s:g} s: {what} (see {self.folder / 'service.log'})")
            time.sleep(0.1)

    def _nodes(self, client: JobsClient) -> dict[str, dict[str, Any]]:
        rows = {row["node"]: row for row in client.ask("nodes")["nodes"] if row["state"] != "lost"}
        cpu = {name: row["used"]["cpu_cores"] / NODE_CORES for name, row in rows.items() if row["used"]}
        if self.began_wall_s:
            self.samples.append((time.time() - self.began_wall_s, cpu))
        return rows

    def _loads_are_right(self, client: JobsClient) -> bool:
        rows = self._nodes(client)
        return len(rows) == len(NODE_LOADS) and all(
            row["used"]
            and abs(row["used"]["cpu_cores"] / NODE_CORES - NODE_LOADS[name][0]) < 0.06
            and abs(row["used"]["memory_bytes"] / NODE_MEMORY_BYTES - NODE_LOADS[name][1]) < 0.06
            for name, row in rows.items()
        )

    def _where(self, client: JobsClient, name: str) -> tuple[str, str]:
        task = client.ask("job", job=self.jobs[name])["task_views"][0]
        self._nodes(client)
        return task["state"], task["node"]

    def _places(self, client: JobsClient) -> dict[str, str]:
        self._nodes(client)
        rows = {row["job"]: row for row in client.ask("jobs", limit=1000)["jobs"]}
        return {
            name: rows[job_id]["nodes"][0]
            for name, job_id in self.jobs.items()
            if rows[job_id]["nodes"] and rows[job_id]["state"] == "running"
        }

    def _all_done(self, client: JobsClient) -> bool:
        self._nodes(client)
        states = {row["job"]: row["state"] for row in client.ask("jobs", limit=1000)["jobs"]}
        ended = [states[job_id] for job_id in self.jobs.values()]
        if "failed" in ended or "cancelled" in ended:
            raise DemoFailed("a task failed: " + ", ".join(ended))
        return all(state == "done" for state in ended)

    def _scene(self, client: JobsClient, title: str) -> None:
        rows = self._nodes(client)
        jobs = {row["job"]: row for row in client.ask("jobs", limit=1000)["jobs"]}
        self.scenes.append(
            Scene(
                title,
                {name: row["used"]["cpu_cores"] / NODE_CORES for name, row in rows.items()},
                {name: row["used"]["memory_bytes"] / NODE_MEMORY_BYTES for name, row in rows.items()},
                self._places(client),
                {name: jobs[job_id]["state"] for name, job_id in self.jobs.items()},
            )
        )


def _answers(client: JobsClient, service: "subprocess.Popen[bytes]") -> bool:
    if service.poll() is not None:
        raise DemoFailed("the jobs service ended at once")
    try:
        return bool(client.ask("status"))
    except NoService:
        return False


def _options() -> list[str]:
    """Of the service: the seed's policies, and the nodes."""
    options = ["--placement", "min-load", "--ordering", "fifo", "--rebalancing", "seed", "--smoothing", "2.5"]
    speeds = "disk_read=100MB,disk_write=100MB,network=100MB"
    for name in NODE_LOADS:
        size = f"cpu_cores={NODE_CORES},memory={NODE_MEMORY_BYTES}"
        options += ["--node", f"{name}:{size},{speeds},respawn=false,sample_interval=0.5"]
    return options
