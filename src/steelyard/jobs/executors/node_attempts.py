"""The attempts of one local node: accepted once, watched, ended whole, told until acknowledged."""

import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import SubprocessError

import psutil

from steelyard.jobs.checkpoints import DIRECTORY_VARIABLE
from steelyard.jobs.executor import Attempt, AttemptEvent, EventKind, StartOrder
from steelyard.jobs.executors.attempt_process import NODE_MARK, AttemptProcess, spawn
from steelyard.jobs.executors.attempt_store import AttemptStore
from steelyard.jobs.executors.control_group import make_group, parent_group
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.runtime.process_identity import carrying, children_of
from steelyard.telemetry.host import free_bytes
from steelyard.telemetry.process_groups import members

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
DISK_FULL_BYTES = 1 << 20  # a file system this full fails whatever writes
ABANDON_S = 2.0
NO_PROCESS_LEFT = (errno.EAGAIN, errno.ENOMEM)


class NodeAttempts:
    """What runs on the node, and what ended and is not acknowledged yet."""

    def __init__(self, node: LocalNode, folder: Path) -> None:
        self._node = node
        self._folder = folder
        self._store = AttemptStore(folder)
        self._groups = parent_group(node.name)
        self._running: dict[Attempt, AttemptProcess] = {}
        self._leaving: dict[Attempt, tuple[AttemptProcess, AttemptEvent]] = {}
        self._ended: dict[Attempt, AttemptEvent] = {}
        self._recover()

    def _recover(self) -> None:
        """End what an earlier agent of this node left, and take up the ends that it did not get to tell."""
        for pid in carrying(NODE_MARK, str(self._folder)):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for order, _, end in self._store.all():
            if end is None:
                end = self._event(order.attempt, EventKind.LOST, reason="the agent of its node died")
                self._store.put_end(end)
            self._ended[order.attempt] = end

    def _event(self, attempt: Attempt, kind: EventKind, **more: object) -> AttemptEvent:
        return AttemptEvent(attempt=attempt, kind=kind, node_id=self._node.name, **more)  # type: ignore[arg-type]  # the fields follow from the kind

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running and not self._leaving

    @property
    def needs_attention(self) -> bool:
        """Whether something is about to end, by grace or by force."""
        return bool(self._leaving) or any(each.kill_at_s is not None for each in self._running.values())

    def group_ids(self) -> list[int]:
        """The process groups of all that runs."""
        return [process.child.pid for process in self._running.values()]

    def known(self) -> list[Attempt]:
        """All attempts not acknowledged yet."""
        return [*self._running, *self._leaving, *self._ended]

    def started(self) -> Iterator[AttemptEvent]:
        """That what runs does run, told anew to a controller that just came."""
        return (self._event(attempt, EventKind.STARTED) for attempt in self._running)

    def unacknowledged(self) -> list[AttemptEvent]:
        """Ends that nobody confirmed."""
        return [*self._ended.values()]

    def start(self, order: StartOrder) -> AttemptEvent | None:
        """Begin; a repeated order is answered by what is so already, a late one by nothing."""
        attempt = order.attempt
        if attempt in self._ended:
            return self._ended[attempt]
        if attempt in self._running:
            return self._event(attempt, EventKind.STARTED)
        if not self._store.is_new(attempt):
            return None
        try:
            self._store.accept(order)
            group = make_group(self._groups, str(attempt), order.demand, self._node.cpu_is_limit)
            process = spawn(order, self._folder, self._node.cpus, group)
            self._running[attempt] = process
            self._store.put_process(attempt, process.identity)
        except OSError as error:
            return self._refused(attempt, error)
        except (ValueError, OverflowError, SubprocessError) as error:
            # What no system call takes, such as a zero byte in an argument: that job's fault alone.
            return self._refused(attempt, OSError(0, str(error)))
        return self._event(attempt, EventKind.STARTED)

    def _refused(self, attempt: Attempt, error: OSError) -> AttemptEvent | None:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
        if attempt in self._running:
            # It runs but cannot be written down: end it, so that nobody has to guess later.
            self._running[attempt].kill()
            self._running[attempt].why_killed = reason
            self._running[attempt].disk_full = error.errno in DISK_FULL
            return None
        fault = error.errno in DISK_FULL or error.errno in NO_PROCESS_LEFT
        event = self._event(attempt, EventKind.REFUSED, reason=reason, node_fault=fault)
        self._end(event)
        return event

    def stop(self, attempt: Attempt, grace_s: float, now_s: float) -> None:
        """Ask to leave. One that was never ordered must not start later: its order may be under way."""
        if attempt in self._running:
            self._running[attempt].ask_to_stop(grace_s, now_s)
        elif attempt in self._leaving or attempt in self._ended:
            return
        elif self._store.is_new(attempt):
            with suppress(OSError):
                self._store.refuse_for_ever(attempt)
            self._end(self._event(attempt, EventKind.REFUSED, reason="stopped before it started"))

    def stop_all(self, grace_s: float, now_s: float) -> None:
        """Ask all to leave."""
        for process in self._running.values():
            process.ask_to_stop(grace_s, now_s)

    def abandon(self) -> None:
        """End all at once and write no end down: a later agent of the node tells them as lost."""
        held = [*self._running.values(), *(process for process, _ in self._leaving.values())]
        self._running.clear()
        self._leaving.clear()
        until_s = time.monotonic() + ABANDON_S
        while held and time.monotonic() < until_s:
            for process in held:
                process.kill()
                process.child.poll()
            _reap_orphans(frozenset(process.child.pid for process in held))
            held = [process for process in held if process.has_group() or process.left_behind()]
            time.sleep(0.01)

    def keep_only(self, live: list[Attempt], now_s: float) -> None:
        """End what is not to live, and forget the ends that nobody waits for."""
        wanted = frozenset(live)
        for attempt, process in self._running.items():
            if attempt not in wanted:
                process.ask_to_stop(0.0, now_s)
        for attempt in [*self._ended]:
            if attempt not in wanted:
                self.acknowledge(attempt)
        known = frozenset(self.known())
        for attempt in live:
            if attempt not in known:
                # Its order may still be under way from a controller that died: it must not start later.
                with suppress(OSError):
                    self._store.refuse_for_ever(attempt)
                self._end(self._event(attempt, EventKind.LOST, reason="its order never arrived"))

    def acknowledge(self, attempt: Attempt) -> None:
        """Forget an end."""
        if self._ended.pop(attempt, None) is not None:
            self._store.forget(attempt)

    def enforce_memory(self) -> None:
        """End what holds more memory than it asked for."""
        for process in self._running.values():
            limit = process.order.demand.memory_bytes
            if limit and not process.why_killed and (used := _resident_bytes(process.child.pid)) > limit:
                process.why_killed = (
                    f"used {used / 2**20:.0f} MiB of memory, its limit is {limit / 2**20:.0f}"
                )
                process.kill()

    def turn(self, now_s: float) -> list[AttemptEvent]:
        """What ended since the last call."""
        for attempt, process in [*self._running.items()]:
            code = process.child.poll()
            if code is None:
                process.keep_time(now_s)
            if code is not None:
                del self._running[attempt]
                process.kill()  # whatever its first process left behind
                self._leaving[attempt] = (process, self._ending(process, code))
            elif process.kill_at_s is not None and now_s >= process.kill_at_s:
                process.kill()
        held = [*self._running.values(), *(process for process, _ in self._leaving.values())]
        _reap_orphans(frozenset(process.child.pid for process in held))
        events = []
        for attempt, (process, event) in [*self._leaving.items()]:
            if process.has_group() or process.left_behind():
                process.kill()
                continue
            del self._leaving[attempt]
            if process.group is not None:
                process.group.remove()
            self._end(event)
            events.append(event)
        return events

    def _ending(self, process: AttemptProcess, code: int) -> AttemptEvent:
        reason, node_fault = process.why_killed, process.disk_full
        if not reason and process.group is not None and process.group.out_of_memory():
            reason = "the kernel ended it at its memory limit"
        if code != 0 and not reason and any(map(_is_full, _places(process.order))):
            reason, node_fault = "the node's disk is full", True
        return self._event(
            process.order.attempt,
            EventKind.ENDED,
            exit_code=code,
            asked_to_stop=process.asked_at_s is not None,
            reason=reason,
            node_fault=node_fault,
            timed_out=process.timed_out,
        )

    def _end(self, event: AttemptEvent) -> None:
        """Write an end down, then let it be told. On a full disk it is told from memory alone."""
        if event.kind is EventKind.ENDED:
            with suppress(OSError):
                self._store.put_end(event)
        self._ended[event.attempt] = event


def _places(order: StartOrder) -> list[str]:
    """Where a task writes, as far as we know."""
    told = (order.log_path, order.environment.get(DIRECTORY_VARIABLE, ""), order.working_directory)
    return [place for place in told if place]


def _is_full(place: str) -> bool:
    free = free_bytes(place)
    return free is not None and free < DISK_FULL_BYTES


def _reap_orphans(leaders: frozenset[int]) -> None:
    """Take up what ended of processes that outlived their parents: they are our children now."""
    for pid in children_of(os.getpid()):
        if pid not in leaders:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _resident_bytes(group_id: int) -> float:
    total = 0.0
    for pid in members([group_id]):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += psutil.Process(pid).memory_info().rss
    return total
