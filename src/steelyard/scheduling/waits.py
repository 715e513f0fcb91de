"""Why a job waits, said so that one can do something about it."""

from steelyard.cluster.node_table import NodeTable
from steelyard.model.job import QueuedJob
from steelyard.model.placement_policy import Claim
from steelyard.model.resources import Resources
from steelyard.scheduling.gangs import GangRefusal, allowed
from steelyard.scheduling.plan import Wait

_BYTES = 1 << 30
# The first word of a refusal's counts, as placement names it → the resource.
_RESOURCE_OF = {"gpus": "gpus", "gpu": "gpus", "memory": "memory_bytes", "cpu": "cpu_cores"}


def amount(resource: str, value: float) -> str:
    """A quantity for people: "3 GPUs", "1.5 cores", "12.0 GiB of memory"."""
    if resource == "gpus":
        return f"{value:g} GPU{'' if value == 1 else 's'}"
    if resource == "cpu_cores":
        return f"{value:g} core{'' if value == 1 else 's'}"
    if resource == "memory_bytes":
        return f"{value / _BYTES:.1f} GiB of memory"
    return f"{value:g} {resource.replace('_', ' ')}"


def too_little(
    job: QueuedJob, refusal: GangRefusal, table: NodeTable, behind: str = "", feasible_s: float | None = None
) -> Wait:
    """No room now."""
    resource = blocking_resource(refusal)
    missing = refusal.missing_tasks * float(getattr(refusal.claim.demand, resource)) if resource else 0.0
    what = f"{refusal.missing_tasks} of {job.tasks} tasks find no place" if job.tasks > 1 else "no place"
    if resource:
        what += f", {amount(resource, missing)} missing"
    if resource == "gpus":
        what += f" ({sum(table.gpu_free) / 1000:g} free in all)"
    if behind and not refusal.plain:
        what += f" without delaying job {behind!r}"
    sentence = f"{what}: {refusal.refusal.sentence}"
    return Wait(
        reason="resources",
        sentence=sentence,
        resource=resource,
        missing=missing,
        behind=behind,
        feasible_s=feasible_s,
    )


def blocking_resource(refusal: GangRefusal) -> str:
    """The resource that rules out most nodes; "" when labels or company do."""
    counts = refusal.refusal.counts
    if not counts:
        return ""
    most = max(sorted(counts), key=lambda name: counts[name])
    resource = _RESOURCE_OF.get(most, most)
    return resource if hasattr(refusal.claim.demand, resource) else ""


def never_fits(job: QueuedJob, resource: str, missing: float, table: NodeTable) -> Wait:
    """Larger than the cluster, or than what of it takes tasks now."""
    rows = table.rows()
    usable = [row for row in rows if table.usable[row]]
    closed = len(rows) - len(usable)
    barred = next((each for each in job.claims if not any(allowed(each, table, row) for row in usable)), None)
    if not usable:
        why = f"all {closed} are drained or lost" if closed else "none is known yet"
        sentence = f"no node takes tasks now: {why}"
        return Wait(reason="never", sentence=sentence, resource=resource, missing=missing)
    if barred is not None:
        sentence = f"job {job.job_id!r} may use no node that takes tasks now{_bars(barred)}"
    else:
        sentence = (
            f"job {job.job_id!r} is larger than the cluster: {amount(resource, missing)} more would be "
            "needed even with nothing else running; ask for less, or add nodes"
        )
    sentence += f" ({closed} more {'is' if closed == 1 else 'are'} drained or lost)" if closed else ""
    return Wait(reason="never", sentence=sentence, resource=resource, missing=missing)


def _bars(claim: Claim) -> str:
    """What a task asks of the node itself."""
    wants = [f"{name} = {value}" for name, value in claim.node_labels.items()]
    if claim.gpu_models:
        wants.append(f"GPU model {' or '.join(claim.gpu_models)}")
    return f": it wants {', '.join(wants)}" if wants else ": all others are forbidden to it"


def over_quota(job: QueuedJob, resource: str, excess: float) -> Wait:
    """The tenant may not have more."""
    return Wait(
        reason="quota",
        sentence=f"tenant {job.tenant!r} would be {amount(resource, excess)} over its quota: it waits until "
        "another job of that tenant ends, or the quota is raised",
        resource=resource,
        missing=excess,
    )


def total_capacity(table: NodeTable) -> Resources:
    """Of all usable nodes together."""
    rows = [row for row in table.rows() if table.usable[row]]
    return Resources(
        cpu_cores=sum(table.cpu_total[row] for row in rows) / 1000,
        memory_bytes=sum(table.memory_total[row] for row in rows),
        disk_read_bytes_per_s=sum(table.io_total[row][0] for row in rows),
        disk_write_bytes_per_s=sum(table.io_total[row][1] for row in rows),
        network_bytes_per_s=sum(table.io_total[row][2] for row in rows),
        gpus=sum(len(table.devices[row]) for row in rows),
        gpu_memory_bytes=sum(len(table.devices[row]) * table.device_memory[row] for row in rows),
    )
