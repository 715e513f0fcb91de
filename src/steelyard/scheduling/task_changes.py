"""The moves that one step of the controller is made of: change a record, and note what must be done."""

from dataclasses import replace
from typing import Any

from steelyard.model.controller_event import Start, Stop
from steelyard.model.job_record import (
    INTENT_RANK,
    Intent,
    JobRecord,
    NodeRecord,
    Seat,
    TaskRecord,
    TaskState,
    Transition,
)
from steelyard.scheduling.controller_state import Changes, ControllerState

AFTER_LEAVING = {
    Intent.REQUEUE: TaskState.QUEUED,
    Intent.PAUSE: TaskState.PAUSED,
    Intent.CANCEL: TaskState.CANCELLED,
    Intent.FAIL: TaskState.FAILED,
}


class Turn:
    """One step in the making."""

    def __init__(self, state: ControllerState, now_s: float) -> None:
        self.state = state
        self.now_s = now_s
        self.changes = Changes()

    def put_job(self, job: JobRecord) -> None:
        """Take in a job."""
        if job.job_id not in self.state.jobs:
            self.changes.new_jobs[job.job_id] = None
        self.state.put_job(job)
        self.changes.jobs[job.job_id] = job

    def put_node(self, node: NodeRecord) -> None:
        """Take in a decision about a node."""
        self.state.nodes[node.node_id] = node
        self.changes.nodes[node.node_id] = node

    def add_task(self, task: TaskRecord) -> None:
        """Take in a new task."""
        self.state.put_task(task)
        self.changes.tasks[task.task_id] = task
        self._note(task, "", task.reason)

    def change(self, task: TaskRecord, **changes: Any) -> TaskRecord:
        """Replace a task's record; a new state or reason goes into the timeline."""
        if changes.get("state", task.state) is not task.state:
            changes["since_s"] = self.now_s
        after: TaskRecord = replace(task, **changes)
        self.state.put_task(after)
        self.changes.tasks[after.task_id] = after
        if after.state is not task.state or after.reason != task.reason:
            self._note(after, task.state, after.reason, task.node_id)
        return after

    def _note(self, task: TaskRecord, before: str, reason: str, left_node_id: str = "") -> None:
        self.changes.transitions.append(
            Transition(
                task_id=task.task_id,
                job_id=task.job_id,
                before=str(before),
                after=str(task.state),
                reason=reason,
                node_id=task.node_id or left_node_id,
                epoch=task.epoch,
                at_s=self.now_s,
            )
        )

    def current(self, task_id: str, epoch: int) -> TaskRecord | None:
        """The task, if this is its attempt and it is not over."""
        task = self.state.tasks.get(task_id)
        return task if task is not None and task.epoch == epoch and task.holds_a_place else None

    def grace_s(self, task: TaskRecord) -> float:
        """How long it may take to leave."""
        return self.state.jobs[task.job_id].specification.grace_s

    def start(self, task: TaskRecord, seat: Seat, why: str) -> None:
        """A new attempt, at a seat."""
        after = self.change(
            task,
            state=TaskState.PLACING,
            reason=why,
            epoch=task.epoch + 1,
            seat=seat,
            target=None,
            intent=Intent.NONE,
            ordered_s=self.now_s,
            started_s=None,
            exit_code=None,
            preferred_node_id="",
            kept=None,
            kept_until_s=0.0,
        )
        self.changes.actions.append(Start(task_id=after.task_id, epoch=after.epoch, seat=seat))

    def order_stop(self, task: TaskRecord) -> None:
        """Ask the attempt to leave."""
        self.changes.actions.append(
            Stop(task_id=task.task_id, epoch=task.epoch, node_id=task.node_id, grace_s=self.grace_s(task))
        )

    def stop_stranger(self, task_id: str, epoch: int) -> None:
        """Something runs that should not: an attempt of the past. No grace: another may run already."""
        self.changes.actions.append(Stop(task_id=task_id, epoch=epoch, node_id="", grace_s=0.0))

    def leave(self, task: TaskRecord, intent: Intent, reason: str) -> None:
        """Make a task leave its place for good or for a while; a stronger intent replaces a weaker one."""
        if task.is_final:
            return
        if not task.holds_a_place:
            if intent is Intent.REQUEUE and task.state is not TaskState.BACKING_OFF:
                return
            if intent is not Intent.REQUEUE:
                after = self.give_back(task, reason)
                self.change(after, state=AFTER_LEAVING[intent], reason=reason, preferred_node_id="")
            return
        if task.state is TaskState.STOPPING and INTENT_RANK[intent] <= INTENT_RANK[task.intent]:
            return
        asked_already = task.state in (TaskState.STOPPING, TaskState.MOVING)
        after = self.change(
            task, state=TaskState.STOPPING, intent=intent, reason=reason, ordered_s=self.now_s, target=None
        )
        if not asked_already:
            self.order_stop(after)

    def keep_claim(self, task: TaskRecord, until_s: float) -> None:
        """Let it keep its place, once it has left it, for the rest of its gang to be found."""
        if task.state is TaskState.STOPPING:
            self.put_task(replace(task, kept_until_s=until_s))

    def give_back(self, task: TaskRecord, reason: str) -> TaskRecord:
        """Claim no place any more; the task as it is then."""
        if not task.kept_until_s:
            return task
        if task.kept is None:
            return self.put_task(replace(task, kept_until_s=0.0))
        return self.change(task, kept=None, kept_until_s=0.0, reason=reason)

    def put_task(self, task: TaskRecord) -> TaskRecord:
        """Replace a record without a word in the timeline."""
        self.state.put_task(task)
        self.changes.tasks[task.task_id] = task
        return task

    def move(self, task: TaskRecord, target: Seat | None, reason: str) -> None:
        """Make a running task leave for another node."""
        after = self.change(
            task, state=TaskState.MOVING, target=target, reason=reason, ordered_s=self.now_s,
            moves=task.moves + 1, moved_s=self.now_s,
        )  # fmt: skip
        self.order_stop(after)

    def repeat_order(self, task: TaskRecord) -> None:
        """Give an unconfirmed order again, the same attempt's."""
        after = replace(task, ordered_s=self.now_s)
        self.state.put_task(after)
        if after.state is TaskState.PLACING and after.seat is not None:
            self.changes.actions.append(Start(task_id=after.task_id, epoch=after.epoch, seat=after.seat))
        else:
            self.order_stop(after)

    def cordon(self, node_id: str, reason: str) -> None:
        """Give a node no new tasks."""
        node = self.state.node(node_id)
        if not node.cordoned:
            self.put_node(replace(node, cordoned=reason))

    def release(self, task: TaskRecord, state: TaskState, reason: str, **changes: Any) -> TaskRecord:
        """The attempt is over: give up the seat, add up the time it ran."""
        ran_s = self.now_s - task.started_s if task.started_s is not None else 0.0
        return self.change(
            task,
            **{
                "state": state,
                "reason": reason,
                "seat": None,
                "target": None,
                "intent": Intent.NONE,
                "started_s": None,
                "ran_s": task.ran_s + ran_s,
                "kept": None,
                "kept_until_s": 0.0,
                **changes,
            },
        )

    def release_to_queue(self, task: TaskRecord, reason: str, exit_code: int | None) -> TaskRecord:
        """The attempt of a survivor is over: it waits for the rest of its gang, with its place if it may."""
        left_s = task.kept_until_s - self.now_s
        if left_s <= 0 or not self.state.takes_tasks(task.node_id):
            return self.release(task, TaskState.QUEUED, reason, exit_code=exit_code)
        return self.release(
            task,
            TaskState.QUEUED,
            f"{reason}; keeps its place on {task.node_id} for {left_s:.3g} s",
            exit_code=exit_code,
            kept=task.seat,
            kept_until_s=task.kept_until_s,
        )
