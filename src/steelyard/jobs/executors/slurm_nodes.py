"""The nodes of a Slurm cluster: who answers, and how loaded each is."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from steelyard.jobs.executor import NodeReport
from steelyard.jobs.executors.knock import answering
from steelyard.jobs.executors.slurm_attempt import SlurmAttempt
from steelyard.jobs.executors.slurm_commands import Slurm, SlurmNode, SlurmUnavailable
from steelyard.model.resources import Resources
from steelyard.model.telemetry import NodeTelemetry

ASK_INTERVAL_S = 5.0
KNOCK_INTERVAL_S = 0.5
KNOCK_TIMEOUT_S = 0.5


@dataclass(slots=True)
class SlurmNodes:
    """What is known of the nodes. slurmctld is asked for the list, each slurmd for a sign of life.

    slurmctld itself notices a dead node after `SlurmdTimeout`, five minutes by default: too late for us.
    """

    slurm: Slurm
    clock: Callable[[], float] = time.monotonic
    known: dict[str, SlurmNode] = field(default_factory=dict)
    heard_at_s: dict[str, float] = field(default_factory=dict)
    _next_ask_s: float = 0.0
    _next_knock_s: float = 0.0

    def refresh(self) -> None:
        """Ask and knock, if it is time."""
        now_s = self.clock()
        if now_s >= self._next_ask_s:
            self._next_ask_s = now_s + ASK_INTERVAL_S
            with suppress(SlurmUnavailable):  # the last list holds
                self.ask()
        if now_s >= self._next_knock_s:
            self._next_knock_s = now_s + KNOCK_INTERVAL_S
            self._knock()

    def ask(self) -> None:
        """Take over slurmctld's list. Raises SlurmUnavailable."""
        self.known = {node.name: node for node in self.slurm.nodes()}
        for name in self.known:
            self.heard_at_s.setdefault(name, self.clock())

    def _knock(self) -> None:
        places = {(node.address, node.port) for node in self.known.values()}
        found = answering(places, KNOCK_TIMEOUT_S)
        now_s = self.clock()
        for node in self.known.values():
            if (node.address, node.port) in found:
                self.heard_at_s[node.name] = now_s

    def beat(self, name: str, at_s: float) -> None:
        """A task on it gave a sign of life."""
        self.heard_at_s[name] = max(at_s, self.heard_at_s.get(name, at_s))

    def reports(self, attempts: Iterable[SlurmAttempt]) -> list[NodeReport]:
        """All that take work or have some of ours."""
        by_node: dict[str, list[SlurmAttempt]] = {}
        for attempt in attempts:
            by_node.setdefault(attempt.node_id, []).append(attempt)
        several = len({node.address for node in self.known.values()}) > 1
        return [
            NodeReport(
                node_id=name,
                capacity=capacity(node),
                heard_at_s=self.heard_at_s[name],
                labels={"address": node.address} if several else {},
                telemetry=self._telemetry(node, by_node.get(name, [])),
            )
            for name, node in self.known.items()
            if not node.is_shut or name in by_node
        ]

    def _telemetry(self, node: SlurmNode, attempts: list[SlurmAttempt]) -> NodeTelemetry:
        """By its tasks' own measurements; by slurmctld's coarse ones (a minute old) while it has none.

        Nodes that share a machine are the sum over their tasks, others the whole machine.
        """
        beats = [each.beat for each in attempts if each.beat is not None and each.end is None]
        shares = sum(each.address == node.address for each in self.known.values()) > 1
        newest_s = max((each.beat_at_s for each in attempts if each.beat is not None), default=0.0)
        idle = NodeTelemetry(
            node_id=node.name, sampled_at_s=newest_s if beats else self.clock(), cpu_cores=node.cpus,
            cpu_used_cores=0.0, memory_bytes=node.memory_bytes, memory_used_bytes=0.0,
        )  # fmt: skip
        if not beats:
            return idle if shares else replace(
                idle,
                cpu_used_cores=min(node.cpus, node.cpu_load),
                memory_used_bytes=max(0.0, node.memory_bytes - node.free_memory_bytes),
                load_1m=node.cpu_load,
            )  # fmt: skip
        if not shares:
            return replace(beats[-1].host, sampled_at_s=newest_s)
        groups = [beat.group for beat in beats]
        return replace(
            idle,
            cpu_used_cores=sum(each.cpu_used_cores for each in groups),
            memory_used_bytes=sum(each.memory_used_bytes for each in groups),
            disk_read_bytes_per_s=sum(each.disk_read_bytes_per_s for each in groups),
            disk_write_bytes_per_s=sum(each.disk_write_bytes_per_s for each in groups),
            load_1m=groups[0].load_1m,
            disk_free_bytes=groups[0].disk_free_bytes,
        )


def capacity(node: SlurmNode) -> Resources:
    """What may be given out; rates that nobody declared must never rule a node out."""
    return Resources(
        cpu_cores=node.cpus, memory_bytes=node.memory_bytes, gpus=node.gpus,
        gpu_memory_bytes=node.gpus * 1e12, disk_read_bytes_per_s=1e12, disk_write_bytes_per_s=1e12,
        network_bytes_per_s=1e12,
    )  # fmt: skip
