"""A glance before the search: what is free at most on any node, and in all.

With a full cluster and thousands of different shapes behind the head, most are turned away by a comparison.
Starts only make less free, so bounds taken once stay true until somebody is preempted.
Cost: one pass over nodes, then a few comparisons a job.
"""

from dataclasses import dataclass

from steelyard.cluster.node_table import NodeTable
from steelyard.model.job import QueuedJob
from steelyard.model.placement_policy import Refusal, demand_of
from steelyard.scheduling.gangs import GangRefusal


@dataclass(frozen=True, slots=True)
class Bounds:
    """Upper bounds in the table's integers: on one node, and of all GPUs together."""

    nodes: int
    cpu_milli: int
    memory_bytes: int
    gpu_milli: int
    total_gpu_milli: int

    @classmethod
    def of(cls, table: NodeTable) -> "Bounds":
        """As of now, over usable nodes."""
        rows = [row for row in table.rows() if table.usable[row]]
        gpus = [table.gpu_free[row] for row in rows]
        return cls(
            len(rows),
            max((table.cpu_free[row] for row in rows), default=0),
            max((table.memory_free[row] for row in rows), default=0),
            max(gpus, default=0),
            sum(gpus),
        )

    def refusal(self, job: QueuedJob) -> GangRefusal | None:
        """Why the job cannot fit; None when it might."""
        wanted = 0
        for claim in job.claims:
            demand = demand_of(claim.demand)
            wanted += demand.gpu_milli
            if demand.gpu_milli > self.gpu_milli:
                return self._refused(job, "gpus", "no node has as many GPUs free")
            if demand.cpu_milli > self.cpu_milli:
                return self._refused(job, "cpu", "no node has as many cores free")
            if demand.memory_bytes > self.memory_bytes:
                return self._refused(job, "memory", "no node has as much memory free")
        if wanted > self.total_gpu_milli and not job.kept:
            return self._refused(job, "gpus", "fewer GPUs are free than the job wants")
        return None

    def _refused(self, job: QueuedJob, resource: str, sentence: str) -> GangRefusal:
        return GangRefusal(job.claims[0], job.tasks, Refusal({resource: self.nodes}, sentence))
