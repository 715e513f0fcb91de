"""From the controller's records to what the planner plans: claims, waiting units and running units."""

from steelyard.cluster.node_table import NodeTable
from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.job_record import JobRecord, TaskRecord, TaskState
from steelyard.model.job_specification import JobSpecification
from steelyard.model.placement_policy import Claim, Placement
from steelyard.policies.history import DurationHistory
from steelyard.scheduling.controller_state import ControllerState

TARGET_SUFFIX = ">"
"""A moving task's second seat is held under its name with this."""
NODE_LABEL = "node"


def unit_of(state: ControllerState, task: TaskRecord) -> str:
    """The name of the unit that a task belongs to."""
    gang = state.jobs[task.job_id].specification.gang and not task.is_reduce
    return task.job_id if gang else task.task_id


def tasks_of_unit(state: ControllerState, unit: str) -> list[TaskRecord]:
    """A unit's tasks, in order."""
    if unit in state.tasks:
        return [state.tasks[unit]]
    return [task for task in state.tasks_of(unit) if not task.is_reduce]


def claim_of(
    state: ControllerState, task: TaskRecord, table: NodeTable, suffix: str = "", only_node_id: str = ""
) -> Claim:
    """What a task wants; `only_node_id` narrows it to one node."""
    job = state.jobs[task.job_id]
    wanted = job.specification
    nodes = (only_node_id,) if only_node_id else wanted.nodes
    if nodes == wanted.nodes and nodes and not any(map(state.takes_tasks, nodes)) and wanted.backup_node_id:
        nodes += (wanted.backup_node_id,)  # this is what a backup is declared for
    forbidden = (*wanted.forbidden_nodes, *task.refused_by)
    labels = dict(wanted.node_labels)
    if len(nodes) == 1:
        labels[NODE_LABEL] = nodes[0]
    elif nodes:
        forbidden += tuple(node_id for node_id in sorted(table.row_of) if node_id not in nodes)
    preferred = task.preferred_node_id
    return Claim(
        task_id=task.task_id + suffix,
        demand=wanted.demand,
        job_id=task.job_id,
        expected_time_s=wanted.expected_time_s,
        keys=wanted.keys,
        affinity_keys=wanted.affinity_keys,
        anti_affinity_keys=wanted.anti_affinity_keys,
        node_labels=labels,
        gpu_models=wanted.gpu_models,
        data_bytes=wanted.data_bytes,
        preferred_nodes=(preferred,) if preferred else (),
        forbidden_nodes=forbidden,
    )


def queued_unit(
    state: ControllerState, unit: str, table: NodeTable, history: DurationHistory
) -> QueuedJob | None:
    """The unit as one that waits; None when it does not, or must not be planned yet."""
    tasks = tasks_of_unit(state, unit)
    # A gang that was interrupted when some had finished starts again with all of them.
    if not any(task.state is TaskState.QUEUED for task in tasks):
        return None
    if any(task.state not in (TaskState.QUEUED, TaskState.DONE) for task in tasks):
        return None
    if any(state.what_blocks(task) for task in tasks):
        return None
    job = state.jobs[tasks[0].job_id]
    if job.specification.max_parallel and not _has_turn(state, job, tasks[0]):
        return None
    claims = tuple(claim_of(state, task, table) for task in tasks)
    return _as_queued(job, tasks, claims, history, table)


def past_unit(
    state: ControllerState, tasks: list[TaskRecord], table: NodeTable, history: DurationHistory
) -> QueuedJob:
    """Tasks of a unit as the orderings know them that learn from what ran, or keep accounts of it."""
    claims = tuple(claim_of(state, task, table) for task in tasks)
    return _as_queued(state.jobs[tasks[0].job_id], tasks, claims, history, table)


def _has_turn(state: ControllerState, job: JobRecord, task: TaskRecord) -> bool:
    """Whether an array may have one more task at work."""
    if task.is_reduce:
        return True
    busy = waiting_before = 0
    for each in state.tasks_of(job.job_id):
        busy += each.holds_a_place
        waiting_before += each.state is TaskState.QUEUED and each.index < task.index
    return busy + waiting_before < job.specification.max_parallel


def _as_queued(
    job: JobRecord,
    tasks: list[TaskRecord],
    claims: tuple[Claim, ...],
    history: DurationHistory,
    table: NodeTable,
) -> QueuedJob:
    wanted = job.specification
    width = wanted.demand.gpus or wanted.demand.cpu_cores
    ran_s = max(task.ran_s for task in tasks)
    # Work before a stop is kept by its checkpoint: it is expected to need only the rest.
    expected_s, late_s = _expected(wanted, ran_s, history)
    kept = {
        task.task_id: Placement(task.kept.node_id, task.kept.devices, 0.0, "its own place, which it kept")
        for task in tasks
        if task.kept is not None and task.task_id in table.reservations
    }
    return QueuedJob(
        job_id=job.job_id if wanted.gang and not tasks[0].is_reduce else tasks[0].task_id,
        claims=claims,
        name=wanted.name,
        user=wanted.user,
        tenant=wanted.tenant,
        priority=wanted.priority,
        submitted_s=job.submitted_s,
        deadline_s=job.submitted_s + wanted.deadline_s if wanted.deadline_s is not None else None,
        expected_time_s=expected_s,
        expected_late_s=late_s,
        attained_gpu_s=ran_s * width * len(tasks),
        preemptible=wanted.preemptible,
        checkpoint_cost_s=wanted.checkpoint_cost_s,
        restart_cost_s=wanted.restart_cost_s,
        backup_node_id=tasks[0].preferred_node_id,
        attempt=max(task.epoch for task in tasks) + 1,
        kept=kept,
        kept_until_s=max(task.kept_until_s for task in tasks),
    )


def _expected(
    wanted: JobSpecification, ran_s: float, history: DurationHistory
) -> tuple[float | None, float | None]:
    """How long it will still run, and most likely at most: as a person says, else as others like it ran."""
    if wanted.expected_time_s:
        return max(0.05 * wanted.expected_time_s, wanted.expected_time_s - ran_s), None
    learned = history.predict(wanted.user, wanted.name, wanted.demand.gpus, ran_s)
    return (learned.expected_s, learned.late_s) if learned.samples else (None, None)


def running_unit(
    state: ControllerState, unit: str, table: NodeTable, history: DurationHistory
) -> RunningJob | None:
    """The unit as one that holds places; None when it holds none that the table knows of."""
    tasks = [task for task in tasks_of_unit(state, unit) if task.holds_a_place]
    held = {
        task.task_id: Placement(task.seat.node_id, task.seat.devices, 0.0, "held")
        for task in tasks
        if task.seat is not None and task.task_id in table.reservations
    }
    if not held:
        return None
    claims = tuple(claim_of(state, task, table) for task in tasks)
    leaving = any(task.state in (TaskState.STOPPING, TaskState.MOVING) for task in tasks)
    moved = [task.moved_s for task in tasks if task.moved_s is not None]
    return RunningJob(
        job=_as_queued(state.jobs[tasks[0].job_id], tasks, claims, history, table),
        placements=held,
        started_s=min(task.started_s if task.started_s is not None else task.since_s for task in tasks),
        moved_s=max(moved, default=None),
        moves=max(task.moves for task in tasks),
        stopping=leaving,
    )
