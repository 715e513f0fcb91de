"""Tasks as batch jobs of Slurm, through `sbatch`, `squeue` and `scancel`: steelyard decides on which node.

Each attempt is one job that is pinned to its node and never requeued. In place of the task it runs
`slurm_task`, which shares a folder with this side: that folder must be on a file system that all nodes see,
and steelyard must be installed on them under the same path. See there for claims, leases and fences.
"""

import math
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from steelyard.jobs.executor import (
    Attempt,
    AttemptEvent,
    EventKind,
    ExecutorError,
    Liveness,
    NodeReport,
    StartOrder,
)
from steelyard.jobs.executors.attempt_store import AttemptStore
from steelyard.jobs.executors.slurm_attempt import SlurmAttempt
from steelyard.jobs.executors.slurm_commands import NAME_PREFIX, Slurm, SlurmUnavailable
from steelyard.jobs.executors.slurm_nodes import SlurmNodes
from steelyard.jobs.executors.slurm_task import LEASE_S
from steelyard.runtime.atomic_file import write_atomically

TASK_MODULE = "steelyard.jobs.executors.slurm_task"
LOOK_INTERVAL_S = 0.2
QUEUE_INTERVAL_S = 1.0
MISSING_LIMIT_S = 3.0  # between the end of a job and its last word on a shared file system
FENCE_PATIENCE_S = 0.5
# Without a figure Slurm gives a job all memory of its node, and no second one fits.
DEFAULT_MEMORY_BYTES = 512 << 20


@dataclass(slots=True)
class SlurmExecutor:
    """See the module.

    folder: shared with the nodes.
    term: of this controller, from its journal.
    python: on the nodes, with steelyard installed.
    options: more for `sbatch`, such as a partition or an account.
    """

    folder: Path
    term: int
    slurm: Slurm = field(default_factory=Slurm)
    python: str = sys.executable
    options: tuple[str, ...] = ()
    clock: Callable[[], float] = time.monotonic
    name: str = "slurm"
    fenced_by: int | None = None
    _attempts: dict[Attempt, SlurmAttempt] = field(default_factory=dict)
    _events: list[AttemptEvent] = field(default_factory=list)
    _unacknowledged: dict[Attempt, AttemptEvent] = field(default_factory=dict)
    _next_look_s: float = 0.0
    _next_queue_s: float = 0.0
    _store: AttemptStore = field(init=False)
    _nodes: SlurmNodes = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._store = AttemptStore(self.folder)
        self._nodes = SlurmNodes(self.slurm, self.clock)

    # --- attempts -----------------------------------------------------------------------------------------

    def reattach(self, live: Sequence[tuple[Attempt, str]]) -> None:
        """Take up what an earlier controller handed in. Raises ExecutorError when Slurm does not answer."""
        self._claim_term()
        try:
            self._nodes.ask()
            queue = {job.name: job.job_id for job in self.slurm.queue()}
        except SlurmUnavailable as error:
            raise ExecutorError(f"Slurm does not answer: {' '.join(str(error).split())}") from None
        wanted = dict(live)
        for order, _, _ in self._store.all():
            held = self._held(order)
            held.job_id = held.job_id or queue.get(str(order.attempt), "")
            held.look(self.clock())
            if order.attempt not in wanted:
                self._drop(held)
            elif not held.job_id and not held.is_started:
                held.fence()  # it may still be on its way from the controller that died
                self._finish(held, EventKind.LOST, "its order never reached Slurm")
            elif held.is_started and held.end is None:
                self._tell(order.attempt, held.node_id, EventKind.STARTED)
        for attempt, node_id in live:
            if attempt not in self._attempts:
                self._store.refuse_for_ever(attempt)
                self._unacknowledged[attempt] = AttemptEvent(
                    attempt=attempt, kind=EventKind.LOST, node_id=node_id, reason="its order never arrived"
                )
        self._events += self._unacknowledged.values()

    def _claim_term(self) -> None:
        path = self.folder / "term"
        held = int(path.read_text()) if path.exists() else 0
        if held > self.term:
            self.fenced_by = held
        else:
            write_atomically(path, str(self.term).encode())

    def _held(self, order: StartOrder) -> SlurmAttempt:
        folder = self._store.folder(order.attempt)
        job = folder / "job"
        held = SlurmAttempt(
            order.attempt, order.node_id, folder, order.grace_s, order.log_path, self.clock(),
            job_id=job.read_text() if job.exists() else "",
        )  # fmt: skip
        self._attempts[order.attempt] = held
        return held

    def _drop(self, held: SlurmAttempt) -> None:
        """End one that nobody waits for."""
        with suppress(OSError):
            held.fence()
        self._cancel(held)
        held.is_dropped = True

    def _cancel(self, held: SlurmAttempt, *, signal: str = "") -> None:
        if held.job_id:
            with suppress(SlurmUnavailable):  # its folder tells it as well
                self.slurm.cancel(held.job_id, signal=signal)

    def start(self, order: StartOrder) -> None:
        """Hand in a job for it."""
        attempt = order.attempt
        if attempt in self._unacknowledged:
            self._events.append(self._unacknowledged[attempt])
        elif attempt in self._attempts:
            if self._attempts[attempt].is_started:
                self._tell(attempt, order.node_id, EventKind.STARTED)
        elif self._store.is_new(attempt):
            self._claim_term()
            if self.fenced_by is None:
                self._submit(order)

    def _submit(self, order: StartOrder) -> None:
        try:
            self._store.accept(order)
            held = self._held(order)
        except OSError as error:
            event = AttemptEvent(
                attempt=order.attempt, kind=EventKind.REFUSED, node_id=order.node_id,
                reason=f"{self.folder}: {error.strerror}",
            )  # fmt: skip
            self._unacknowledged[order.attempt] = event
            self._events.append(event)
            return
        script = f"exec {shlex.join([self.python, '-m', TASK_MODULE, str(held.folder.resolve())])}"
        try:
            held.job_id = self.slurm.submit([*batch_options(order, held.folder), *self.options], script)
            write_atomically(held.folder / "job", held.job_id.encode())
        except SlurmUnavailable as error:
            # It may have been accepted all the same: then it finds the fence and leaves.
            held.fence()
            self._finish(held, EventKind.REFUSED, f"sbatch: {error}", executor_fault=True)

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Ask it to leave; take it out of the queue if it waits there."""
        held = self._attempts.get(attempt)
        if held is None or held.end is not None:
            return
        held.look(self.clock())
        if held.is_started:
            held.ask_to_stop(grace_s, self.clock())
            self._cancel(held, signal="TERM")
            return
        held.fence()
        self._cancel(held)
        if held.wait_until_over(self.clock, 0.0):
            self._finish(held, EventKind.REFUSED, "stopped before it started")

    def acknowledge(self, attempt: Attempt) -> None:
        """Forget an end."""
        self._unacknowledged.pop(attempt, None)
        self._attempts.pop(attempt, None)
        self._store.forget(attempt)

    def poll(self) -> Sequence[AttemptEvent]:
        """What its processes wrote, and what Slurm's queue says of those that write nothing."""
        now_s = self.clock()
        self._nodes.refresh()
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + LOOK_INTERVAL_S
            for held in [*self._attempts.values()]:
                self._look(held, now_s)
        if now_s >= self._next_queue_s:
            self._next_queue_s = now_s + QUEUE_INTERVAL_S
            self._compare_with_queue(now_s)
            self._events += self._unacknowledged.values()
        events, self._events = self._events, []
        return events

    def _look(self, held: SlurmAttempt, now_s: float) -> None:
        if held.is_dropped:
            held.look(now_s)
            if held.is_over(now_s):
                self.acknowledge(held.attempt)
            return
        if held.attempt in self._unacknowledged:
            return
        if held.look(now_s):
            self._tell(held.attempt, held.node_id, EventKind.STARTED)
        if held.beat is not None:
            self._nodes.beat(held.node_id, held.beat_at_s)
        if held.end is not None:
            self._unacknowledged[held.attempt] = held.end
            self._events.append(held.end)
        elif held.kill_at_s is not None and now_s > held.kill_at_s:
            held.kill_at_s = None
            self._cancel(held)

    def _compare_with_queue(self, now_s: float) -> None:
        """One that is neither queued nor has told its end was ended by Slurm."""
        waiting = [each for each in self._attempts.values() if each.end is None and each.job_id]
        if not waiting:
            return
        try:
            queued = {job.job_id for job in self.slurm.queue()}
        except SlurmUnavailable:
            return
        for held in waiting:
            if held.job_id in queued or held.attempt in self._unacknowledged or held.is_dropped:
                held.missing_since_s = None
                continue
            held.missing_since_s = now_s if held.missing_since_s is None else held.missing_since_s
            if now_s - held.missing_since_s < MISSING_LIMIT_S or not held.is_over(now_s):
                continue
            with suppress(OSError):
                held.fence()
            if held.is_started:
                self._finish(held, EventKind.LOST, "Slurm ended it, and it could not say how")
            else:
                self._finish(held, EventKind.REFUSED, "it was taken out of Slurm's queue")

    def _tell(self, attempt: Attempt, node_id: str, kind: EventKind) -> None:
        self._events.append(AttemptEvent(attempt=attempt, kind=kind, node_id=node_id))

    def _finish(
        self, held: SlurmAttempt, kind: EventKind, reason: str, *, executor_fault: bool = False
    ) -> None:
        event = AttemptEvent(
            attempt=held.attempt,
            kind=kind,
            node_id=held.node_id,
            reason=reason,
            executor_fault=executor_fault,
        )
        held.end = event
        with suppress(OSError):
            self._store.put_end(event)
        self._unacknowledged[held.attempt] = event
        self._events.append(event)

    # --- nodes --------------------------------------------------------------------------------------------

    def nodes(self) -> Sequence[NodeReport]:
        """All nodes that take work or have some of ours."""
        return self._nodes.reports(self._attempts.values())

    def witness(self, node_id: str) -> Liveness:
        """Tasks that beat are the second witness: a slurmd that is being restarted leaves them alone."""
        now_s = self.clock()
        here = [each for each in self._attempts.values() if each.node_id == node_id and each.is_started]
        if any(each.end is None and now_s - each.beat_at_s < LEASE_S for each in here):
            return Liveness.ALIVE
        return Liveness.UNKNOWN

    def fence(self, node_id: str) -> bool:
        """End what runs there; true once each said so or its lease is over."""
        here = [each for each in self._attempts.values() if each.node_id == node_id and each.end is None]
        for held in here:
            with suppress(OSError):
                held.fence()
            self._cancel(held)
        return all(held.wait_until_over(self.clock, FENCE_PATIENCE_S / len(here)) for held in here)

    def read_log(self, attempt: Attempt, offset_bytes: int, limit_bytes: int) -> bytes:
        """Logs are where the order said, on the shared file system: the service reads them itself."""
        return b""

    def close(self) -> None:
        """Jobs go on."""

    def reattach_to_dismiss(self) -> None:
        """Nothing was let go."""

    def dismiss(self, grace_s: float) -> None:
        """End all tasks; how they ended stays written in their folders."""
        for attempt in [*self._attempts]:
            self.stop(attempt, grace_s)
        until_s = self.clock() + grace_s + 2.0
        for held in [*self._attempts.values()]:
            if not held.wait_until_over(self.clock, max(0.0, until_s - self.clock())):
                self._cancel(held)


def batch_options(order: StartOrder, folder: Path) -> list[str]:
    """What `sbatch` is told of one attempt."""
    memory_mib = math.ceil((order.demand.memory_bytes or DEFAULT_MEMORY_BYTES) / 2**20)
    options = [
        f"--job-name={NAME_PREFIX}{order.attempt}",
        f"--nodelist={order.node_id}",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={max(1, math.ceil(order.demand.cpu_cores))}",
        f"--mem={memory_mib}M",
        "--no-requeue",
        "--open-mode=append",
        f"--output={folder / 'slurm.log'}",
        "--export=ALL",
    ]
    if order.demand.gpus >= 1:
        options.append(f"--gres=gpu:{math.ceil(order.demand.gpus)}")
    if order.time_limit_s:
        # Slurm counts in minutes. The node's process keeps it to the second; this is for when that hangs.
        options.append(f"--time={math.ceil((order.time_limit_s + order.grace_s) / 60) + 1}")
    return options
