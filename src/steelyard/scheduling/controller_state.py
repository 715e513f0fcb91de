"""All that the controller remembers, with the indices that keep each step cheap.

The records are frozen and are replaced, never changed; this object holds the current ones. It is owned
by its caller: `controller.step` changes it in place and says what it changed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from steelyard.model.controller_event import Action
from steelyard.model.errors import BadRequest
from steelyard.model.job_record import (
    LIVELIEST_FIRST,
    JobRecord,
    KeptKey,
    NodeRecord,
    TaskRecord,
    TaskState,
    Transition,
)


@dataclass(slots=True)
class Changes:
    """What one step changed and wants done: to be recorded first, then performed."""

    tasks: dict[str, TaskRecord] = field(default_factory=dict)
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    new_jobs: dict[str, None] = field(default_factory=dict)
    forgotten_jobs: dict[str, None] = field(default_factory=dict)
    kept_keys: dict[str, KeptKey | None] = field(default_factory=dict)
    job_id: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to record."""
        return not (self.tasks or self.jobs or self.nodes or self.forgotten_jobs or self.kept_keys)


class ControllerState:
    """Jobs, tasks and nodes, by name; tasks also by state, by node and by job."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobRecord] = {}
        self.tasks: dict[str, TaskRecord] = {}
        self.nodes: dict[str, NodeRecord] = {}
        self.job_of_key: dict[str, str] = {}
        self.next_job = 1
        # Dicts, not sets: their order is that of entry, the same in every process.
        self.by_state: dict[TaskState, dict[str, None]] = {state: {} for state in TaskState}
        self.on_node: dict[str, dict[str, None]] = {}
        self.dependents: dict[str, dict[str, None]] = {}
        self.open_tasks: dict[str, int] = {}
        self.keeping: dict[str, None] = {}
        self.finished_s: dict[str, float] = {}  # job → its last change, the longest ended first
        self.finished_tasks = 0
        self.kept_keys: dict[str, KeptKey] = {}

    @classmethod
    def of(
        cls,
        jobs: Iterable[JobRecord],
        tasks: Iterable[TaskRecord],
        nodes: Iterable[NodeRecord],
        keys: Iterable[KeptKey] = (),
        next_job: int = 1,
    ) -> "ControllerState":
        """From what a journal holds. next_job: no less than one above every job that there ever was."""
        state = cls()
        state.next_job = next_job
        for key in keys:
            state.put_key(key)
        for job in jobs:
            state.put_job(job)
        for task in tasks:
            state.put_task(task)
        for node in nodes:
            state.nodes[node.node_id] = node
        state.finished_s = dict(sorted(state.finished_s.items(), key=lambda each: (each[1], int(each[0]))))
        return state

    def put_job(self, job: JobRecord) -> None:
        """Take in a new or changed job."""
        if job.job_id not in self.jobs:
            self.next_job = max(self.next_job, int(job.job_id) + 1)
            if job.key:
                self.job_of_key[job.key] = job.job_id
            for other in job.specification.after:
                self.dependents.setdefault(other, {})[job.job_id] = None
            self.open_tasks[job.job_id] = 0
        self.jobs[job.job_id] = job

    def put_task(self, task: TaskRecord) -> None:
        """Take in a new or changed task."""
        before = self.tasks.get(task.task_id)
        if before is not None:
            if before.state is not task.state:
                del self.by_state[before.state][task.task_id]
            if before.holds_a_place and before.seat is not None:
                self.on_node[before.seat.node_id].pop(task.task_id, None)
            self.open_tasks[task.job_id] -= not before.is_final
            if before.kept is not None:
                del self.keeping[task.task_id]
        if task.kept is not None:
            self.keeping[task.task_id] = None
        self.tasks[task.task_id] = task
        self.by_state[task.state][task.task_id] = None
        if task.holds_a_place and task.seat is not None:
            self.on_node.setdefault(task.seat.node_id, {})[task.task_id] = None
        self.open_tasks[task.job_id] += not task.is_final
        self._note_end(task)

    def _note_end(self, task: TaskRecord) -> None:
        """Keep jobs that have ended in the order of their ends; a gang's may begin again."""
        tasks = self.jobs[task.job_id].specification.all_tasks
        if self.finished_s.pop(task.job_id, None) is not None:
            self.finished_tasks -= tasks
        if not self.open_tasks[task.job_id]:
            self.finished_s[task.job_id] = task.since_s
            self.finished_tasks += tasks

    def put_key(self, key: KeptKey) -> None:
        """Take in a key whose job is forgotten."""
        self.kept_keys[key.key] = key
        self.job_of_key[key.key] = key.job_id

    def drop_key(self, key: str) -> None:
        """The promise of a key whose job is forgotten is over."""
        if self.kept_keys.pop(key, None) is not None:
            del self.job_of_key[key]

    def forget(self, job_id: str) -> None:
        """Remove a job and its tasks. Its key stays where it was: see `put_key` and `drop_key`."""
        job = self.jobs.pop(job_id)
        for task_id in job.task_ids():
            task = self.tasks.pop(task_id)
            del self.by_state[task.state][task_id]
        for other in job.specification.after:
            if other in self.dependents:
                self.dependents[other].pop(job_id, None)
        self.dependents.pop(job_id, None)
        if self.finished_s.pop(job_id, None) is not None:
            self.finished_tasks -= job.specification.all_tasks
        del self.open_tasks[job_id]

    def may_forget(self, job_id: str) -> bool:
        """Whether a job has ended and no job that goes on waits for it, or for how it ended."""
        waiting = self.dependents.get(job_id, ())
        return job_id in self.finished_s and not any(self.open_tasks[each] for each in waiting)

    def tasks_of(self, job_id: str) -> list[TaskRecord]:
        """A job's tasks in order, the reduce step last."""
        return [self.tasks[task_id] for task_id in self.jobs[job_id].task_ids()]

    def node(self, node_id: str) -> NodeRecord:
        """What was decided about a node; nothing yet for one never judged."""
        return self.nodes.get(node_id) or NodeRecord(node_id=node_id)

    def is_lost(self, node_id: str) -> bool:
        """Whether a node is judged dead."""
        node = self.nodes.get(node_id)
        return node is not None and bool(node.lost)

    def takes_tasks(self, node_id: str) -> bool:
        """Whether a node may be given tasks, as far as decisions go."""
        node = self.nodes.get(node_id)
        return node is None or (not node.cordoned and not node.lost)

    def job_is_done(self, job_id: str) -> bool:
        """Whether every task of a job is done."""
        job = self.jobs.get(job_id)
        return (
            job is not None
            and not self.open_tasks[job_id]
            and all(self.tasks[task_id].state is TaskState.DONE for task_id in job.task_ids())
        )

    def known_job(self, job_id: str) -> JobRecord:
        """A job by name. Raises BadRequest."""
        job = self.jobs.get(job_id)
        if job is None and job_id in self.tasks:
            raise BadRequest(
                f"{job_id} is a task: name its job, {self.tasks[job_id].job_id}", http_status=404
            )
        if job is None:
            was = job_id.isdecimal() and 0 < int(job_id) < self.next_job
            why = "it ended long ago and is forgotten" if was else "`steelyard jobs` lists them"
            raise BadRequest(f"there is no job {job_id!r}: {why}", http_status=404)
        return job

    def state_of(self, job_id: str) -> TaskState:
        """One word for a whole job."""
        found = {task.state for task in self.tasks_of(job_id)}
        return next(state for state in LIVELIEST_FIRST if state in found)

    def known_task(self, task_id: str) -> TaskRecord:
        """A task by name; a job's name stands for its only task. Raises BadRequest."""
        task = self.tasks.get(task_id)
        if task is not None:
            return task
        of_job = task_id.rpartition(".")[0]
        if of_job in self.jobs:
            last = self.jobs[of_job].task_ids()[-1]
            raise BadRequest(f"there is no task {task_id!r}: the last of its job is {last}", http_status=404)
        job = self.known_job(task_id)
        count = job.specification.all_tasks
        if count > 1:
            raise BadRequest(f"job {task_id} has {count} tasks: name one, as {task_id}.0")
        return self.tasks[f"{task_id}.0"]

    def what_blocks(self, task: TaskRecord) -> str:
        """Why a queued task may not even be planned; "" when it may."""
        job = self.jobs[task.job_id]
        for other in job.specification.after:
            if not self.job_is_done(other):
                return f"waits for job {other} to be done"
        if task.is_reduce and self.open_tasks[job.job_id] > 1:
            return f"waits for the other {self.open_tasks[job.job_id] - 1} tasks of its job"
        return ""
