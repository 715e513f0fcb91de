"""What the end of an attempt leads to: done, another try, a final failure, or the place it was to move to.

An attempt that was asked to stop and left with 0 has stopped, not finished: it goes on elsewhere, and a
task that had nothing left to do finds that in its checkpoint and ends at once. An attempt that ended with
0 by itself is done, whatever was wanted of it meanwhile: nothing is run twice.
"""

from steelyard.model.controller_event import AttemptEnded, AttemptRefused
from steelyard.model.job_record import Intent, TaskRecord, TaskState
from steelyard.model.job_specification import CONTINUE_EXIT_CODE
from steelyard.scheduling.task_changes import AFTER_LEAVING, Turn

EXECUTOR_PAUSE_S = 5.0


def after_end(turn: Turn, task: TaskRecord, event: AttemptEnded) -> None:
    """The process is gone, and we know how."""
    if event.exit_code is None:
        after_loss(turn, task, event.reason or "nobody knows how it ended")
    elif event.exit_code == 0 and not event.asked_to_stop and not _was_to_leave(turn, task, event):
        turn.release(task, TaskState.DONE, "finished", exit_code=0)
        _after_final(turn, task)
    elif event.timed_out and task.intent not in (Intent.CANCEL, Intent.FAIL):
        limit_s = turn.state.jobs[task.job_id].specification.time_limit_s
        why = f"its time limit of {limit_s:g} s is over, which means: do not retry"
        turn.release(task, TaskState.FAILED, why, exit_code=event.exit_code)
        _after_final(turn, task)
    elif _was_to_leave(turn, task, event):
        _after_leaving(turn, task, event.exit_code)
    elif event.exit_code == CONTINUE_EXIT_CODE:
        _leave_to_queue(turn, task, "stopped by itself, to be continued", event.exit_code)
    else:
        _after_failure(turn, task, event)


def _was_to_leave(turn: Turn, task: TaskRecord, event: AttemptEnded) -> bool:
    """Whether it ended because of us: members of a gang also fail when their peers are stopped."""
    leaves = task.state in (TaskState.STOPPING, TaskState.MOVING)
    return leaves and (event.asked_to_stop or _is_gang_member(turn, task))


def after_refusal(turn: Turn, task: TaskRecord, event: AttemptRefused) -> None:
    """It never ran. The node is avoided until it has run elsewhere; a refusal counts as a failure."""
    if task.state in (TaskState.STOPPING, TaskState.MOVING):
        _after_leaving(turn, task, None)
        return
    if event.executor_fault:
        _wait_for_executor(turn, task, event.reason)
        return
    refused_by = (*task.refused_by, task.node_id)[-16:]
    task = turn.change(task, refused_by=refused_by)
    if event.node_fault:
        _restart(turn, task, f"{task.node_id} could not start it: {event.reason}")
    else:
        _fail_or_retry(turn, task, f"{task.node_id} could not start it: {event.reason}", None)


def _wait_for_executor(turn: Turn, task: TaskRecord, reason: str) -> None:
    """Whoever carries orders is down: it may be back a little later, and this costs the task no retry."""
    turn.release(
        task,
        TaskState.BACKING_OFF,
        f"it could not be handed over: {reason}; again in {EXECUTOR_PAUSE_S:g} s",
        not_before_s=turn.now_s + EXECUTOR_PAUSE_S,
    )
    _restart_gang(turn, task, f"its gang starts again: {task.task_id} could not be handed over")


def after_loss(turn: Turn, task: TaskRecord, reason: str) -> None:
    """Nothing of the attempt runs any more, and nobody knows how far it came: its checkpoint does."""
    job = turn.state.jobs[task.job_id]
    losses = task.losses + 1
    if task.state is TaskState.STOPPING and task.intent is not Intent.REQUEUE:
        turn.change(task, losses=losses)
        _after_leaving(turn, turn.state.tasks[task.task_id], None)
    elif losses > job.specification.retry.max_losses:
        turn.release(task, TaskState.FAILED, f"{reason}; that was loss {losses}", losses=losses)
        _after_final(turn, task)
    elif task.state is TaskState.MOVING and task.target is not None:
        _start_at_target(turn, turn.change(task, losses=losses, reason=reason))
    else:
        backup = job.specification.backup_node_id
        usable = bool(backup) and backup != task.node_id and turn.state.takes_tasks(backup)
        task = turn.change(task, losses=losses, preferred_node_id=backup if usable else "")
        _restart(turn, task, reason)


def _after_leaving(turn: Turn, task: TaskRecord, exit_code: int | None) -> None:
    """It stopped because it was asked to."""
    if task.state is TaskState.MOVING:
        if task.target is not None:
            _start_at_target(turn, task)
        else:
            turn.release(task, TaskState.QUEUED, f"left {task.node_id}: {task.reason}")
        return
    if task.intent is Intent.REQUEUE:
        turn.release_to_queue(task, task.reason, exit_code)
        return
    turn.release(task, AFTER_LEAVING[task.intent], task.reason, exit_code=exit_code)
    if turn.state.tasks[task.task_id].is_final:
        _after_final(turn, task)


def _start_at_target(turn: Turn, task: TaskRecord) -> None:
    target = task.target
    if target is None or not turn.state.takes_tasks(target.node_id):
        turn.release(task, TaskState.QUEUED, "left, and its target takes no tasks any more")
        return
    source, reason = task.node_id, task.reason
    task = turn.release(task, TaskState.QUEUED, f"left {source}: {reason}")
    turn.start(task, target, f"moved from {source} to {target.node_id}: {reason}")


def _leave_to_queue(turn: Turn, task: TaskRecord, reason: str, exit_code: int) -> None:
    if _is_gang_member(turn, task):
        _restart(turn, task, reason)
    else:
        turn.release(task, TaskState.QUEUED, reason, exit_code=exit_code)


def _after_failure(turn: Turn, task: TaskRecord, event: AttemptEnded) -> None:
    code = event.exit_code or 0
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    if event.reason:
        how = f"{how}: {event.reason}"
    if task.state is TaskState.STOPPING and task.intent is not Intent.REQUEUE:
        _after_leaving(turn, task, event.exit_code)
    elif event.node_fault:
        _restart(turn, task, f"{how}; the node is to blame")
    else:
        _fail_or_retry(turn, task, how, event.exit_code)


def _fail_or_retry(turn: Turn, task: TaskRecord, how: str, exit_code: int | None) -> None:
    rules = turn.state.jobs[task.job_id].specification.retry
    failures = task.failures + 1
    if exit_code in rules.no_retry_exit_codes:
        why = f"{how}, which means: do not retry"
    elif failures > rules.max_retries:
        allowed = "1 retry is" if rules.max_retries == 1 else f"{rules.max_retries} retries are"
        why = f"{how}; that was failure {failures}, and {allowed} allowed"
    else:
        delay_s = rules.delay_s(failures)
        reason = f"{how}; retry {failures} of {rules.max_retries} in {delay_s:g} s"
        turn.release(
            task,
            TaskState.BACKING_OFF,
            reason,
            failures=failures,
            exit_code=exit_code,
            not_before_s=turn.now_s + delay_s,
        )
        _restart_gang(turn, task, f"its gang starts again: {task.task_id} failed ({how})")
        return
    turn.release(task, TaskState.FAILED, why, failures=failures, exit_code=exit_code)
    _after_final(turn, task)


def _restart(turn: Turn, task: TaskRecord, reason: str) -> None:
    """Queue it again at once, with its whole gang."""
    turn.release(task, TaskState.QUEUED, reason)
    _restart_gang(turn, task, f"its gang starts again: {reason}")


def _restart_gang(turn: Turn, task: TaskRecord, reason: str) -> None:
    """The others leave, too. They keep their places, as long as their job says so, for it to come back to.

    The failed task does not: what is wrong may be its node.
    """
    stop_gang(turn, task, Intent.REQUEUE, reason)
    keep_s = turn.state.jobs[task.job_id].specification.keep_claim_s
    if keep_s and _is_gang_member(turn, task):
        for member in turn.state.tasks_of(task.job_id):
            if member.task_id != task.task_id and not member.is_reduce:
                turn.keep_claim(member, turn.now_s + keep_s)


def _is_gang_member(turn: Turn, task: TaskRecord) -> bool:
    return turn.state.jobs[task.job_id].specification.gang and not task.is_reduce


def stop_gang(turn: Turn, task: TaskRecord, intent: Intent, reason: str) -> None:
    """Make the other members leave; those that had finished start again with the rest."""
    if not _is_gang_member(turn, task):
        return
    for member in turn.state.tasks_of(task.job_id):
        if member.task_id == task.task_id or member.is_reduce:
            continue
        if member.state is TaskState.DONE and intent is Intent.REQUEUE:
            turn.change(member, state=TaskState.QUEUED, reason=reason, exit_code=None)
        else:
            turn.leave(member, intent, reason)


def _after_final(turn: Turn, task: TaskRecord) -> None:
    """A task came to its end: settle its gang, its reduce step and the jobs that wait for this one."""
    after = turn.state.tasks[task.task_id]
    if after.state is TaskState.FAILED:
        stop_gang(turn, after, Intent.FAIL, f"{task.task_id} of its gang failed: {after.reason}")
        for member in turn.state.tasks_of(task.job_id):
            if member.is_reduce and not member.is_final:
                turn.leave(member, Intent.FAIL, f"{task.task_id} failed: {after.reason}")
    if not turn.state.open_tasks[task.job_id]:
        fail_dependents(turn, task.job_id)


def fail_dependents(turn: Turn, job_id: str) -> None:
    """Cancel the jobs that wait for a job which can never be done."""
    tasks = turn.state.tasks_of(job_id)
    ended_badly = [task for task in tasks if task.state in (TaskState.FAILED, TaskState.CANCELLED)]
    if not ended_badly:
        return
    for dependent in [*turn.state.dependents.get(job_id, ())]:
        waiting = [task for task in turn.state.tasks_of(dependent) if not task.is_final]
        for task in waiting:
            turn.leave(task, Intent.CANCEL, f"job {job_id}, for which it waits, is {ended_badly[0].state}")
        if waiting:
            fail_dependents(turn, dependent)
