"""What a task is told by its environment: the whole contract, no library needed (docs/jobs.md).

Besides these a task is asked to stop by SIGTERM: it writes a checkpoint and leaves. Exit code 0 after
that means stopped; 75 always means "start me again".
"""

from collections.abc import Mapping
from pathlib import Path

from steelyard.jobs.executor import Attempt, StartOrder
from steelyard.model.controller_event import Start
from steelyard.model.job_record import JobRecord, TaskRecord
from steelyard.scheduling.controller_state import ControllerState

LOOPBACK = "127.0.0.1"


def start_order(
    state: ControllerState, action: Start, folder: Path, addresses: Mapping[str, str]
) -> StartOrder:
    """The order that an executor gets.

    folder: of the service, for logs and for checkpoints of jobs that name no folder.
    addresses: node → address, where it is another machine.
    """
    task = state.tasks[action.task_id]
    job = state.jobs[task.job_id]
    wanted = job.specification
    return StartOrder(
        attempt=Attempt(task_id=task.task_id, epoch=action.epoch),
        node_id=action.seat.node_id,
        command=wanted.reduce_command if task.is_reduce else wanted.command,
        environment=environment(state, job, task, action, folder, addresses),
        working_directory=wanted.working_directory,
        log_path=str(log_path(folder, task)),
        demand=wanted.demand,
        gpu_indices=action.seat.devices,
        grace_s=wanted.grace_s,
        nice=wanted.nice,
        time_limit_s=time_left_s(wanted.time_limit_s, task.ran_s),
    )


def time_left_s(limit_s: float, ran_s: float) -> float:
    """What an attempt may still run; 0 for no limit. Never quite nothing: its end is then soon told."""
    return max(0.1, limit_s - ran_s) if limit_s else 0.0


def environment(
    state: ControllerState,
    job: JobRecord,
    task: TaskRecord,
    action: Start,
    folder: Path,
    addresses: Mapping[str, str],
) -> dict[str, str]:
    """The task's environment: the job's own, the contract's, its shard's."""
    wanted = job.specification
    in_gang = wanted.gang and not task.is_reduce
    checkpoints = checkpoint_folder(folder, job, task)
    checkpoints.mkdir(parents=True, exist_ok=True)
    told = {
        **wanted.environment,
        "STEELYARD_JOB": job.job_id,
        "STEELYARD_TASK": task.task_id,
        "STEELYARD_TASK_INDEX": str(task.index),
        "STEELYARD_TASKS": str(wanted.tasks),
        "STEELYARD_EPOCH": str(action.epoch),
        "STEELYARD_NODE": action.seat.node_id,
        "STEELYARD_CHECKPOINT_DIR": str(checkpoints),
        "RANK": str(task.index if in_gang else 0),
        "WORLD_SIZE": str(wanted.tasks if in_gang else 1),
        "LOCAL_RANK": "0",
        "PYTHONUNBUFFERED": "1",
    }
    if in_gang:
        members = state.tasks_of(job.job_id)[: wanted.tasks]
        beside = [each for each in members[: task.index] if each.node_id == action.seat.node_id]
        told["LOCAL_RANK"] = str(len(beside))
        told["MASTER_ADDR"] = addresses.get(members[0].node_id, LOOPBACK)
        told["MASTER_PORT"] = str(job.meeting_port)
    if wanted.task_environments and not task.is_reduce:
        told |= wanted.task_environments[task.index]
    return told


def checkpoint_folder(folder: Path, job: JobRecord, task: TaskRecord) -> Path:
    """Where a task keeps its progress: a gang's ranks share one, others have their own."""
    wanted = job.specification
    whole = (
        Path(wanted.working_directory, wanted.checkpoint_directory)
        if wanted.checkpoint_directory
        else folder / "checkpoints" / job.job_id
    )
    alone = wanted.all_tasks == 1 or wanted.gang
    return whole if alone else whole / str(task.index)


def log_path(folder: Path, task: TaskRecord) -> Path:
    """Where a task's outputs go, of all its attempts."""
    return folder / "logs" / task.job_id / f"{task.index}.log"
