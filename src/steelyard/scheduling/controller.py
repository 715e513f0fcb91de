"""The controller of jobs: a pure state machine, `step(state, event, now_s) -> changes`.

Source: own; epochs as fencing tokens after Chubby's sequencers (OSDI 2006), the split of deciding and
performing after Nomad's scheduler. No I/O, no clock, no chance: the service, the cluster simulation and
the tests with injected faults all drive this one object.

What holds after every step, and what `check_invariants` in the tests asks for:
- a task has one attempt at a time, and its epoch rises with each: a late or repeated message about an
  older attempt changes nothing, and what still runs under an old epoch is told to stop;
- a task that holds a place has a seat, and no other has one; survivors of a failed gang that wait may keep
  their claim on a place for a while (`kept`), of which the planner knows;
- a final task never changes again, but for members of a gang that must start anew as a whole;
- a gang is placed whole, and when one member fails or is lost all of it leaves.

Order of use: record `Changes` in the journal, then perform its actions. Performing them twice, or never,
is made good by `TimePassed` and `Recovered`, which give unconfirmed orders again.
Cost: one event touches one task (a gang's members, a lost node's tasks); `TimePassed` touches tasks that
start, stop or back off, never the queue.
"""

from dataclasses import replace

from steelyard.model.controller_event import (
    Acknowledge,
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptStarted,
    CancelOrdered,
    ClaimsReleased,
    Event,
    Forgotten,
    MoveOrdered,
    NodeCordoned,
    NodeLost,
    NodeReturned,
    NodeUncordoned,
    PauseOrdered,
    Placed,
    Preempted,
    Recovered,
    ResumeOrdered,
    Submitted,
    TimePassed,
)
from steelyard.model.errors import BadRequest
from steelyard.model.job_record import Intent, JobRecord, KeptKey, TaskRecord, TaskState
from steelyard.scheduling.attempt_ends import after_end, after_loss, after_refusal, fail_dependents, stop_gang
from steelyard.scheduling.controller_state import Changes, ControllerState
from steelyard.scheduling.task_changes import Turn

UNCONFIRMED = (TaskState.PLACING, TaskState.STOPPING, TaskState.MOVING)
REPEAT_ORDER_S = 5.0  # an order nobody confirmed is given again: sooner would flood a slow node


# The planner lets kept places go one gang at a time, so that another can use them; it does not look at a gang
# of which a member backs off or is paused.
PLANNER_PATIENCE_S = 5.0


def step(state: ControllerState, event: Event, now_s: float) -> Changes:
    """Take in one event. Raises BadRequest, with nothing changed, for an order that cannot be followed."""
    turn = Turn(state, now_s)
    _take_in(turn, event)
    return turn.changes


def _take_in(turn: Turn, event: Event) -> None:  # state machine
    match event:
        case TimePassed():  # first, since it is by far the most frequent
            _time_passed(turn, event)
        case Submitted():
            _submitted(turn, event)
        case Placed():
            _placed(turn, event)
        case MoveOrdered():
            _move_ordered(turn, event)
        case Preempted():
            _preempted(turn, event)
        case ClaimsReleased():
            _claims_released(turn, event)
        case AttemptStarted():
            _attempt_started(turn, event)
        case AttemptRefused():
            _attempt_refused(turn, event)
        case AttemptEnded():
            _attempt_ended(turn, event)
        case AttemptLost():
            _attempt_lost(turn, event)
        case NodeLost():
            _node_lost(turn, event)
        case NodeReturned():
            _node_returned(turn, event)
        case NodeCordoned():
            _node_cordoned(turn, event)
        case NodeUncordoned():
            _node_uncordoned(turn, event)
        case CancelOrdered():
            _cancel_ordered(turn, event)
        case PauseOrdered():
            _pause_ordered(turn, event)
        case ResumeOrdered():
            _resume_ordered(turn, event)
        case Forgotten():
            _forgotten(turn, event)
        case Recovered():
            _recovered(turn, event)


def _submitted(turn: Turn, event: Submitted) -> None:
    state = turn.state
    known = state.job_of_key.get(event.key) if event.key else None
    if known is not None:
        turn.changes.job_id = known
        return
    for other in event.specification.after:
        state.known_job(other)
    job = JobRecord(
        job_id=str(state.next_job),
        specification=event.specification,
        key=event.key,
        submitted_s=turn.now_s,
        submitted_wall_s=event.wall_s,
    )
    turn.put_job(job)
    turn.changes.job_id = job.job_id
    for index, task_id in enumerate(job.task_ids()):
        turn.add_task(
            TaskRecord(
                task_id=task_id,
                job_id=job.job_id,
                index=index,
                is_reduce=index >= event.specification.tasks,
                since_s=turn.now_s,
                preferred_node_id="",
            )
        )
    for other in event.specification.after:
        fail_dependents(turn, other)


def _placed(turn: Turn, event: Placed) -> None:
    """Start a task, or a whole gang; a plan that no longer fits what is known is dropped whole."""
    job = turn.state.jobs.get(event.job_id)
    tasks = [turn.state.tasks.get(task_id) for task_id in event.seats]
    if job is None or not tasks:
        return
    for task in tasks:
        if task is None or not _may_start(job, task) or turn.state.what_blocks(task):
            return
    if not all(turn.state.takes_tasks(seat.node_id) for seat in event.seats.values()):
        return
    if job.specification.gang and not _is_whole(turn, job, event):
        return
    turn.put_job(replace(job, attempt=job.attempt + 1, meeting_port=event.meeting_port or job.meeting_port))
    for task_id, seat in event.seats.items():
        turn.start(turn.state.tasks[task_id], seat, event.why.get(task_id) or f"placed on {seat.node_id}")


def _may_start(job: JobRecord, task: TaskRecord) -> bool:
    """Whether it waits; a member that finished starts again with its gang."""
    in_gang = job.specification.gang and not task.is_reduce
    return task.state is TaskState.QUEUED or (in_gang and task.state is TaskState.DONE)


def _is_whole(turn: Turn, job: JobRecord, event: Placed) -> bool:
    """Whether a plan for a gang seats every member, or is for its reduce step alone."""
    members = [task for task in turn.state.tasks_of(job.job_id) if not task.is_reduce]
    seated = {task_id for task_id in event.seats if not turn.state.tasks[task_id].is_reduce}
    return not seated or seated == {task.task_id for task in members}


def _move_ordered(turn: Turn, event: MoveOrdered) -> None:
    task = turn.state.known_task(event.task_id)
    job = turn.state.jobs[task.job_id]
    target = event.target
    if target is not None and not turn.state.takes_tasks(target.node_id):
        raise BadRequest(f"node {target.node_id!r} takes no tasks now: choose another", http_status=409)
    if task.state is TaskState.QUEUED:
        task = turn.give_back(task, event.reason)
        turn.change(task, preferred_node_id=target.node_id if target else "", reason=event.reason)
        return
    if task.state not in (TaskState.RUNNING, TaskState.PLACING):
        raise BadRequest(f"task {task.task_id} is {task.state}: only what runs can move", http_status=409)
    if job.specification.gang and not task.is_reduce:
        # One member cannot leave alone: all stop, and start again together.
        for member in turn.state.tasks_of(job.job_id):
            if target is not None and member.task_id == task.task_id:
                turn.change(member, preferred_node_id=target.node_id)
            turn.leave(turn.state.tasks[member.task_id], Intent.REQUEUE, event.reason)
        return
    turn.move(task, target, event.reason)


def _preempted(turn: Turn, event: Preempted) -> None:
    for task_id in event.task_ids:
        task = turn.state.tasks.get(task_id)
        if task is not None and task.state in (TaskState.RUNNING, TaskState.PLACING):
            turn.leave(task, Intent.REQUEUE, event.reason)
            stop_gang(turn, task, Intent.REQUEUE, event.reason)


def _claims_released(turn: Turn, event: ClaimsReleased) -> None:
    if event.job_id in turn.state.jobs:
        for task in turn.state.tasks_of(event.job_id):
            if task.kept is not None:
                turn.give_back(task, f"gives its place on {task.kept.node_id} back: {event.reason}")


def _give_back_on(turn: Turn, node_id: str, reason: str) -> None:
    """No place is kept on a node that takes no tasks."""
    for task_id in [*turn.state.keeping]:
        task = turn.state.tasks[task_id]
        if task.kept is not None and task.kept.node_id == node_id:
            turn.give_back(task, reason)


def _attempt_started(turn: Turn, event: AttemptStarted) -> None:
    task = turn.current(event.task_id, event.epoch)
    if task is None:
        turn.stop_stranger(event.task_id, event.epoch)
    elif task.state is TaskState.PLACING:
        turn.change(
            task,
            state=TaskState.RUNNING,
            started_s=turn.now_s,
            reason=f"started on {task.node_id}",
            refused_by=(),
        )


def _attempt_refused(turn: Turn, event: AttemptRefused) -> None:
    if (task := _acknowledged(turn, event)) is not None:
        after_refusal(turn, task, event)


def _attempt_ended(turn: Turn, event: AttemptEnded) -> None:
    if (task := _acknowledged(turn, event)) is not None:
        after_end(turn, task, event)


def _attempt_lost(turn: Turn, event: AttemptLost) -> None:
    if (task := _acknowledged(turn, event)) is not None:
        after_loss(turn, task, event.reason)


def _acknowledged(turn: Turn, event: AttemptRefused | AttemptEnded | AttemptLost) -> TaskRecord | None:
    """The task whose attempt is over; None for a late tale of an earlier one, not to be told again."""
    task = turn.current(event.task_id, event.epoch)
    turn.changes.actions.append(Acknowledge(task_id=event.task_id, epoch=event.epoch))
    if task is not None and not isinstance(event, AttemptLost) and event.node_fault:
        turn.cordon(task.node_id, event.reason)
    return task


def _node_lost(turn: Turn, event: NodeLost) -> None:
    node = turn.state.node(event.node_id)
    if not node.lost:
        turn.put_node(replace(node, lost=event.reason or "lost"))
    for task_id in [*turn.state.by_state[TaskState.MOVING]]:
        task = turn.state.tasks[task_id]
        if task.target is not None and task.target.node_id == event.node_id:
            turn.change(task, target=None, reason=f"its target {event.node_id} was lost")
    for task_id in [*turn.state.on_node.get(event.node_id, ())]:
        task = turn.state.tasks[task_id]
        # A gang's other members on this node were perhaps dealt with already.
        if task.holds_a_place and task.node_id == event.node_id:
            turn.changes.actions.append(Acknowledge(task_id=task_id, epoch=task.epoch))
            after_loss(turn, task, f"node {event.node_id} was lost: {event.reason}")
    _give_back_on(turn, event.node_id, f"node {event.node_id}, on which its place was kept, was lost")


def _node_returned(turn: Turn, event: NodeReturned) -> None:
    node = turn.state.node(event.node_id)
    if node.lost:
        turn.put_node(replace(node, lost=""))


def _node_cordoned(turn: Turn, event: NodeCordoned) -> None:
    turn.cordon(event.node_id, event.reason)
    _give_back_on(turn, event.node_id, f"node {event.node_id}, on which its place was kept, is drained")
    if event.drain:
        for task_id in [*turn.state.on_node.get(event.node_id, ())]:
            task = turn.state.tasks[task_id]
            if task.state in (TaskState.RUNNING, TaskState.PLACING):
                order = MoveOrdered(task_id=task_id, target=None, reason=f"node {event.node_id} is drained")
                _move_ordered(turn, order)


def _node_uncordoned(turn: Turn, event: NodeUncordoned) -> None:
    node = turn.state.node(event.node_id)
    if node.cordoned:
        turn.put_node(replace(node, cordoned=""))


def _cancel_ordered(turn: Turn, event: CancelOrdered) -> None:
    turn.state.known_job(event.job_id)
    for task in turn.state.tasks_of(event.job_id):
        if not task.is_final:
            turn.leave(task, Intent.CANCEL, event.reason)
    fail_dependents(turn, event.job_id)


def _check_open(turn: Turn, job_id: str, verb: str) -> None:
    """Raises BadRequest for a job of which nothing is left to do."""
    turn.state.known_job(job_id)
    if not turn.state.open_tasks[job_id]:
        ended = turn.state.state_of(job_id)
        raise BadRequest(f"job {job_id} has ended ({ended}): there is nothing to {verb}", http_status=409)


def _pause_ordered(turn: Turn, event: PauseOrdered) -> None:
    _check_open(turn, event.job_id, "pause")
    for task in turn.state.tasks_of(event.job_id):
        if not task.is_final:
            turn.leave(task, Intent.PAUSE, "paused by a person")


def _resume_ordered(turn: Turn, event: ResumeOrdered) -> None:
    _check_open(turn, event.job_id, "resume")
    for task in turn.state.tasks_of(event.job_id):
        if task.state is TaskState.PAUSED:
            turn.change(task, state=TaskState.QUEUED, reason="resumed by a person")
        elif task.state is TaskState.STOPPING and task.intent is Intent.PAUSE:
            turn.change(task, intent=Intent.REQUEUE, reason="resumed by a person while it was stopping")


def _forgotten(turn: Turn, event: Forgotten) -> None:
    state, changes = turn.state, turn.changes
    for key in event.keys:
        if key in state.kept_keys:
            state.drop_key(key)
            changes.kept_keys[key] = None
    for job_id in event.job_ids:
        if not state.may_forget(job_id):
            continue
        job = state.jobs[job_id]
        state.forget(job_id)
        changes.forgotten_jobs[job_id] = None
        if job.key:
            kept = KeptKey(key=job.key, job_id=job_id, until_s=job.submitted_s + event.keep_keys_s)
            state.put_key(kept)
            changes.kept_keys[job.key] = kept


def _time_passed(turn: Turn, event: TimePassed) -> None:
    state = turn.state
    for task_id in [*state.by_state[TaskState.BACKING_OFF]]:
        task = state.tasks[task_id]
        if task.not_before_s <= turn.now_s:
            turn.change(task, state=TaskState.QUEUED, reason="waited long enough after its failure")
    for task_id in [*state.keeping]:
        task = state.tasks[task_id]
        if task.kept is not None and turn.now_s >= task.kept_until_s + PLANNER_PATIENCE_S:
            turn.give_back(task, f"kept its place on {task.kept.node_id} for long enough")
    for waiting in UNCONFIRMED:
        for task_id in state.by_state[waiting]:
            task = state.tasks[task_id]
            patience_s = REPEAT_ORDER_S + (turn.grace_s(task) if waiting is not TaskState.PLACING else 0.0)
            if turn.now_s - task.ordered_s >= patience_s:
                turn.repeat_order(task)


def _recovered(turn: Turn, event: Recovered) -> None:
    """Nobody knows which orders went out before the controller died: give all unconfirmed ones again."""
    for waiting in UNCONFIRMED:
        for task_id in turn.state.by_state[waiting]:
            turn.repeat_order(turn.state.tasks[task_id])
