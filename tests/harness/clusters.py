"""Small clusters and jobs for tests of the planner, and a placement policy that needs no explanation."""

from collections.abc import Mapping

from steelyard.cluster.node_table import NodeTable
from steelyard.model.job import QueuedJob, RunningJob, gang
from steelyard.model.node import Node
from steelyard.model.placement_policy import Claim, NodeColumns, Placement, Refusal, demand_of
from steelyard.model.resources import Resources

GIB = 1 << 30


class FirstFit:
    """The first node by name, the first free GPUs on it."""

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """First fit."""
        demand = demand_of(claim.demand)
        preferred = [table.row_of[each] for each in claim.preferred_nodes if each in table.row_of]
        for row in (*preferred, *table.rows()):
            devices = [at for at, free in enumerate(table.devices[row]) if free >= demand.share]
            if (
                table.usable[row]
                and table.cpu_free[row] >= demand.cpu_milli
                and table.memory_free[row] >= demand.memory_bytes
                and len(devices) >= demand.devices
                and table.node_ids[row] not in claim.forbidden_nodes
                and not any(key in table.key_counts[row] for key in claim.anti_affinity_keys)
            ):
                return Placement(table.node_ids[row], tuple(devices[: demand.devices]), 0.0, "first-fit")
        return Refusal({"gpus": len(table.rows())}, "no node has enough free")


def nodes(count: int, gpus: int = 8, cores: float = 64) -> NodeTable:
    """Equal nodes n00, n01, ..."""
    capacity = Resources(cpu_cores=cores, memory_bytes=512 * GIB, gpus=gpus)
    return NodeTable(Node(node_id=f"n{at:02d}", capacity=capacity) for at in range(count))


def job(
    job_id: str,
    gpus: float = 1,
    tasks: int = 1,
    *,
    submitted_s: float = 0.0,
    expected_s: float | None = None,
    tenant: str = "",
    priority: int = 0,
    cores: float = 1,
    preemptible: bool = True,
    kept: Mapping[str, Placement] | None = None,
    attempt: int = 0,
    backup: str = "",
    deadline_s: float | None = None,
    attained_gpu_s: float = 0.0,
    checkpoint_cost_s: float = 1.0,
    anti: tuple[str, ...] = (),
) -> QueuedJob:
    """A job of equal tasks."""
    demand = Resources(cpu_cores=cores, gpus=gpus)
    return QueuedJob(
        job_id=job_id,
        claims=gang(Claim(task_id=job_id, job_id=job_id, demand=demand, anti_affinity_keys=anti), tasks),
        submitted_s=submitted_s,
        expected_time_s=expected_s,
        tenant=tenant,
        priority=priority,
        preemptible=preemptible,
        kept=kept or {},
        attempt=attempt,
        backup_node_id=backup,
        deadline_s=deadline_s,
        attained_gpu_s=attained_gpu_s,
        checkpoint_cost_s=checkpoint_cost_s,
    )


def running(table: NodeTable, queued: QueuedJob, places: Mapping[str, Placement], now_s: float) -> RunningJob:
    """Carry out a start: reserve its places."""
    claims = {claim.task_id: claim for claim in queued.claims}
    for task_id, place in places.items():
        if task_id not in table.reservations:
            table.reserve(place, claims[task_id])
    return RunningJob(job=queued, placements=places, started_s=now_s)
