"""Running the service as a process: journal, executor, loop and door; standing by until it is our turn."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from steelyard.jobs.client import SOCKET_NAME
from steelyard.jobs.declared_nodes import this_machine
from steelyard.jobs.executor import Dismissable, Executor
from steelyard.jobs.executors.local import LocalExecutor
from steelyard.jobs.executors.ray import RayExecutor
from steelyard.jobs.executors.slurm import SlurmExecutor
from steelyard.jobs.server import JobsServer
from steelyard.jobs.service import LEASE_S, JobsService
from steelyard.jobs.service_options import ServiceOptions, Told, executor_of
from steelyard.model.errors import ConfigError
from steelyard.model.job_record import HOLDS_A_PLACE
from steelyard.runtime.journal import Journal, JournalLost

JOURNAL_NAME = "journal.sqlite"
LOST_THE_JOURNAL = 3
WAITING = "waiting for the lease of another jobs service to end"


def make_executor(options: ServiceOptions, folder: Path, term: int) -> Executor:
    """Of the kind that the options name."""
    if options.executor == "ray":
        # Ray may live in another environment than this one: steelyard must be installed there too.
        python = os.environ.get("STEELYARD_RAY_PYTHON", sys.executable)
        return RayExecutor(options.address, term, python=python, log_path=str(folder / "ray.log"))
    if options.executor == "slurm":
        return SlurmExecutor(folder / "slurm", term)
    return LocalExecutor(folder / "nodes", options.nodes or this_machine(), term)


def run_service(folder: Path, told: Told, *, standby: bool = False) -> int:
    """Serve until SIGTERM, SIGINT or a request to leave; tasks run on. Returns the exit code."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    journal = _opened(folder / JOURNAL_NAME)
    # What nobody can serve with is said now, not when it is our turn.
    _settled(journal, told, standby).plan_options()
    _take_over(journal, standby)
    options = _settled(journal, told, standby)
    if standby:
        print(f"takes over with {options.sentence}", file=sys.stderr, flush=True)
    _check_executor(options, journal)
    executor = make_executor(options, folder, journal.term)
    try:
        journal.keep_options(options.kept())
        leave_after_s = _serve(folder, journal, executor, options)
    except JournalLost as error:
        # Nothing may be written and nothing ordered any more; who holds the journal now goes on.
        print(f"steelyard: {error}", file=sys.stderr, flush=True)
        return LOST_THE_JOURNAL
    if leave_after_s is not None and isinstance(executor, Dismissable):
        executor.reattach_to_dismiss()
        executor.dismiss(leave_after_s)
    journal.give_up()
    journal.close()
    return 0


def _opened(path: Path) -> Journal:
    try:
        return Journal(path)
    except JournalLost as error:
        raise ConfigError(str(error)) from None  # a file that is of no use, not a disk that fails under us


def _settled(journal: Journal, told: Told, standby: bool) -> ServiceOptions:
    return told.as_standby(journal.options) if standby else told.options


def _serve(folder: Path, journal: Journal, executor: Executor, options: ServiceOptions) -> float | None:
    """Until the end; the grace for tasks in seconds when they are to end as well, else None."""
    service = JobsService(
        journal,
        executor,
        options.plan_options(),
        folder,
        load=options.load_rules(),
        headroom=options.headroom,
        retention=options.retention,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leaver(service))
    server = JobsServer(service, folder / SOCKET_NAME)
    print(f"jobs listening on {folder / SOCKET_NAME}", flush=True)
    try:
        service.run()
    finally:
        server.close()
    return server.leave_after_s


def _check_executor(options: ServiceOptions, journal: Journal) -> None:
    """Tasks that another executor's nodes hold would run there unseen, and twice."""
    before = executor_of(journal.options)
    if before in ("", options.executor):
        return
    held = sum(len(journal.load().by_state[state]) for state in HOLDS_A_PLACE)
    if held:
        raise ConfigError(
            f"tasks held in {journal.path}: {held}; they are with the {before} executor: start once more "
            f"with --executor {before} and pause or cancel their jobs, or use another --state folder"
        )


def _leaver(service: JobsService) -> Callable[[int, FrameType | None], None]:
    def leave(number: int, frame: FrameType | None) -> None:
        service.inbox.put(None)

    return leave


def _take_over(journal: Journal, standby: bool) -> None:
    """Become the writer; a restart waits out the lease of a predecessor that was killed."""
    deadline_s = time.monotonic() + 2 * LEASE_S
    told = False
    while not journal.take_over(LEASE_S):
        if not standby and time.monotonic() > deadline_s:
            raise ConfigError(
                f"another jobs service holds {journal.path}: end it with `steelyard down`, "
                "wait for its end with --standby, or use another --state folder"
            )
        if not told:
            told = True
            print(WAITING, file=sys.stderr, flush=True)
        time.sleep(0.05)
