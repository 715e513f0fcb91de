"""The one durable thing of the jobs plane: what happened and what is so, in an SQLite file.

A transaction holds the changed records and the timeline entries of one or more steps, and is on disk
(WAL, synchronous=FULL) before any action of theirs is performed. SQLite checks each frame of its log,
so after a crash the last whole transaction stands and a torn tail is cut off.

One writer at a time: a writer holds a lease and a term. The term rises with each new holder, is checked
in every transaction, and goes out with every order, so that a former holder that wakes up can neither
write nor be obeyed. Lease times are those of CLOCK_BOOTTIME: all processes of a machine share it, a
change of the wall clock does not touch it, and a reboot ends every lease.

Errors: `JournalFull` (nothing was written, refuse what asked for it), `JournalLost` (the disk failed or
another writer took over: stop, never try to sync again, since the kernel may have dropped the pages).
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from steelyard.model.errors import ConfigError, SteelyardError
from steelyard.model.job_record import JobRecord, KeptKey, NodeRecord, TaskRecord, Transition
from steelyard.model.job_specification import JobSpecification
from steelyard.runtime.process_identity import ProcessIdentity, identify
from steelyard.scheduling.controller_state import Changes, ControllerState

SCHEMA = """
create table if not exists meta (name text primary key, value) without rowid;
create table if not exists specifications (job_id text primary key, value blob) without rowid;
create table if not exists records (kind text, name text, value blob, primary key (kind, name)) without rowid;
create table if not exists timeline (
    number integer primary key, wall_s real, at_s real, job_id text, task_id text,
    before text, after text, reason text, node_id text, epoch integer);
create table if not exists kept_keys (key text primary key, value blob) without rowid;
create index if not exists timeline_of_job on timeline (job_id, number);
"""
FORMAT = 1
_ENCODER = msgspec.json.Encoder()
_JOB = msgspec.json.Decoder(JobRecord)
_TASK = msgspec.json.Decoder(TaskRecord)
_NODE = msgspec.json.Decoder(NodeRecord)
_KEY = msgspec.json.Decoder(KeptKey)
GIVEN_BACK_PAGES = 2_000  # at once, of 4 KiB each
_NO_SPECIFICATION = JobSpecification(command=("-",))


class JournalFull(SteelyardError):
    """The disk is full: nothing of this was written, and nothing of it is to be performed."""

    http_status = 507


class JournalLost(SteelyardError):
    """This process may not write the journal any more: the disk failed, or another holds the lease."""


def boot_time_s() -> float:
    """Seconds since the machine started, the same clock in all processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Changes with every start of the machine; "" where the system has none."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


class Journal:
    """An open journal, not yet written to: see `take_over`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.term = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            # Before anything is written: what is forgotten gives its room back to the file system.
            self._database.execute("pragma auto_vacuum = incremental")
            self._database.execute("pragma journal_mode = wal")
            self._database.execute("pragma synchronous = full")
            self._database.executescript(SCHEMA)
            self._database.execute("insert or ignore into meta values ('format', ?)", (FORMAT,))
        except (sqlite3.Error, OSError) as error:
            raise JournalLost(
                f"cannot open the journal {path}: {error}: choose another --state folder"
            ) from None

    def _meta(self, name: str, default: float | str | bytes) -> float | str | bytes:
        row = self._database.execute("select value from meta where name = ?", (name,)).fetchone()
        return default if row is None else row[0]

    def _put_meta(self, name: str, value: float | str | bytes) -> None:
        self._database.execute("insert or replace into meta values (?, ?)", (name, value))

    def take_over(self, lease_s: float) -> bool:
        """Become the writer, when nobody else's lease stands. The term rises by one."""
        with self._transaction(None):
            same_boot = self._meta("lease_boot", "") == boot_id()
            holder = ProcessIdentity(int(self._meta("holder_pid", 0)), int(self._meta("holder_ticks", 0)))
            stands = float(self._meta("lease_until_s", 0.0)) > boot_time_s()
            # A holder that is seen to be dead writes no more, whatever is left of its lease.
            if same_boot and stands and holder.exists:
                return False
            self.term = int(self._meta("term", 0)) + 1
            self._put_meta("term", self.term)
            self._put_meta("lease_boot", boot_id())
            own = identify(os.getpid())
            self._put_meta("holder_pid", os.getpid())
            self._put_meta("holder_ticks", own.ticks if own is not None else 0)
            self._put_meta("lease_until_s", boot_time_s() + lease_s)
        return True

    def renew(self, lease_s: float, now_s: float | None = None) -> None:
        """Stay the writer for so much longer; `now_s`, of the controller, is where a successor goes on from.

        Raises JournalFull, and JournalLost when another took over.
        """
        with self._transaction(self.term):
            self._put_meta("lease_until_s", boot_time_s() + lease_s)
            if now_s is not None:
                self._put_meta("now_s", now_s)

    def give_up(self) -> None:
        """Let another take over at once."""
        with contextlib.suppress(SteelyardError):
            self.renew(0.0)

    def keep_options(self, options: bytes) -> None:
        """Write down what the service was started with. Raises JournalFull, JournalLost."""
        with self._transaction(self.term):
            self._put_meta("options", options)

    @property
    def options(self) -> bytes | None:
        """What the last service was started with; None when it did not say."""
        kept = self._meta("options", b"")
        return kept if isinstance(kept, bytes) and kept else None

    @property
    def now_s(self) -> float:
        """Controller time of the last record or renewal; it goes on from here after a restart."""
        return float(self._meta("now_s", 0.0))

    def load(self) -> ControllerState:
        """All records. Raises JournalLost for records that nobody can read."""
        try:
            return self._load()
        except (sqlite3.Error, msgspec.MsgspecError, ConfigError, KeyError, ValueError) as error:
            raise JournalLost(
                f"the journal {self.path} cannot be read ({type(error).__name__}: {error}): restore it, or "
                "use another --state folder"
            ) from None

    def _load(self) -> ControllerState:
        specifications = dict(self._database.execute("select job_id, value from specifications"))
        jobs = []
        for (value,) in self._database.execute("select value from records where kind = 'job'"):
            job = _JOB.decode(value)
            whole = msgspec.json.decode(specifications[job.job_id], type=JobSpecification)
            jobs.append(replace(job, specification=whole))
        jobs.sort(key=lambda job: int(job.job_id))
        tasks = [_TASK.decode(value) for (value,) in self._records("task")]
        tasks.sort(key=lambda task: (int(task.job_id), task.index))
        nodes = [_NODE.decode(value) for (value,) in self._records("node")]
        keys = [_KEY.decode(value) for (value,) in self._database.execute("select value from kept_keys")]
        keys.sort(key=lambda key: (key.until_s, key.key))
        return ControllerState.of(jobs, tasks, nodes, keys, int(self._meta("next_job", 1)))

    def _records(self, kind: str) -> Iterator[tuple[bytes]]:
        return self._database.execute("select value from records where kind = ? order by name", (kind,))

    def record(self, changes: list[Changes], now_s: float, wall_s: float) -> None:
        """Write down steps, all or none; on disk when it returns. Raises JournalFull, JournalLost."""
        with self._transaction(self.term):
            self._put_meta("now_s", now_s)
            for change in changes:
                self._write(change, wall_s)
                self._forget(change)
        if any(change.forgotten_jobs for change in changes):
            with contextlib.suppress(sqlite3.Error):  # it is recorded; the room is given back another time
                # As a script: `execute` steps a statement without rows once, which gives back one page.
                self._database.executescript(f"pragma incremental_vacuum({GIVEN_BACK_PAGES})")

    def _write(self, change: Changes, wall_s: float) -> None:
        put = "insert or replace into records values (?, ?, ?)"
        for job in change.jobs.values():
            if job.job_id in change.new_jobs:
                specification = _ENCODER.encode(job.specification)
                self._database.execute(
                    "insert into specifications values (?, ?)", (job.job_id, specification)
                )
            self._database.execute(
                put, ("job", job.job_id, _ENCODER.encode(replace(job, specification=_NO_SPECIFICATION)))
            )
        rows = [("task", task.task_id, _ENCODER.encode(task)) for task in change.tasks.values()]
        rows += [("node", node.node_id, _ENCODER.encode(node)) for node in change.nodes.values()]
        self._database.executemany(put, rows)
        self._database.executemany(
            "insert into timeline values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (wall_s, each.at_s, each.job_id, each.task_id, each.before, each.after, each.reason,
                 each.node_id, each.epoch)
                for each in change.transitions
            ],
        )  # fmt: skip

    def _forget(self, change: Changes) -> None:
        for job_id in change.forgotten_jobs:
            self._put_meta("next_job", max(int(self._meta("next_job", 1)), int(job_id) + 1))
            # "17/" is the first name after all that begin with "17.".
            self._database.execute(
                "delete from records where kind = 'task' and name >= ? and name < ?",
                (f"{job_id}.", f"{job_id}/"),
            )
            self._database.execute("delete from records where kind = 'job' and name = ?", (job_id,))
            self._database.execute("delete from specifications where job_id = ?", (job_id,))
            self._database.execute("delete from timeline where job_id = ?", (job_id,))
        for name, key in change.kept_keys.items():
            if key is None:
                self._database.execute("delete from kept_keys where key = ?", (name,))
            else:
                values = (name, _ENCODER.encode(key))
                self._database.execute("insert or replace into kept_keys values (?, ?)", values)

    @contextlib.contextmanager
    def _transaction(self, term: int | None) -> Iterator[None]:
        try:
            self._database.execute("begin immediate")
            if term is not None and int(self._meta("term", 0)) != term:
                raise JournalLost(
                    f"another controller took over (term {int(self._meta('term', 0))}, ours {term})"
                )
            yield
            self._database.execute("commit")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise _explained(error, self.path) from None
            raise

    def _roll_back(self) -> None:
        if self._database.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("rollback")

    def timeline(self, job_id: str, limit: int = 10_000) -> list[tuple[float, Transition]]:
        """A job's changes in order, each with the wall time at which it was recorded; the last `limit`."""
        return self._transitions("where job_id = ? order by number desc limit ?", (job_id, limit))

    def recent(self, limit: int, states: Collection[str]) -> list[tuple[float, Transition]]:
        """The same of all jobs: of the last `limit` changes those from or to one of `states`."""
        marks = ", ".join("?" * len(states))
        return self._transitions(
            "where number > (select coalesce(max(number), 0) from timeline) - ? "
            f"and (before in ({marks}) or after in ({marks})) order by number desc",
            (limit, *states, *states),
        )

    def _transitions(self, which: str, values: tuple[str | int, ...]) -> list[tuple[float, Transition]]:
        # `which` is one of the two above, never a caller's words.
        rows = self._database.execute(f"select * from timeline {which}", values).fetchall()
        return [
            (
                wall_s,
                Transition(
                    task_id=task_id, job_id=job, before=before, after=after, reason=reason,
                    node_id=node_id, epoch=epoch, at_s=at_s,
                ),
            )
            for _, wall_s, at_s, job, task_id, before, after, reason, node_id, epoch in reversed(rows)
        ]  # fmt: skip

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _explained(error: sqlite3.Error, path: Path) -> SteelyardError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return JournalFull(f"the disk that holds {path} is full: free some room; running jobs go on")
    return JournalLost(f"the journal {path} cannot be written any more: {error}")
