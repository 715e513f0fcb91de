"""Running the service as a process: journal, executor, loop and door; standing by until it is our turn."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from steelyard.cluster.node_load import LoadRules
from steelyard.jobs.client import SOCKET_NAME
from steelyard.jobs.executor import Dismissable, Executor
from steelyard.jobs.executors.local import LocalExecutor
from steelyard.jobs.executors.local_node import LocalNode
from steelyard.jobs.server import JobsServer
from steelyard.jobs.service import LEASE_S, JobsService
from steelyard.model.errors import ConfigError
from steelyard.policies.failure.suspicion import SuspicionRules
from steelyard.runtime.journal import Journal, JournalLost
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.retention import RetentionRules

JOURNAL_NAME = "journal.sqlite"
LOST_THE_JOURNAL = 3

MakeExecutor = Callable[[Path, int], Executor]


def local_executor(nodes: list[LocalNode]) -> MakeExecutor:
    """Tasks as processes of this machine."""
    return lambda folder, term: LocalExecutor(folder / "nodes", nodes, term)


def run_service(
    folder: Path,
    make_executor: MakeExecutor,
    options: PlanOptions,
    rules: SuspicionRules | None = None,
    *,
    load: LoadRules | None = None,
    headroom: bool = False,
    standby: bool = False,
    retention: RetentionRules | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT or a request to leave; tasks run on. Returns the exit code."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / JOURNAL_NAME)
    _take_over(journal, standby)
    executor = make_executor(folder, journal.term)
    try:
        service = JobsService(
            journal, executor, options, folder, rules, load, headroom=headroom, retention=retention
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _leaver(service))
        server = JobsServer(service, folder / SOCKET_NAME)
        print(f"jobs listening on {folder / SOCKET_NAME}", flush=True)
        try:
            service.run()
        finally:
            server.close()
    except JournalLost as error:
        # Nothing may be written and nothing ordered any more; who holds the journal now goes on.
        print(f"steelyard: {error}", file=sys.stderr, flush=True)
        return LOST_THE_JOURNAL
    if server.leave_after_s is not None and isinstance(executor, Dismissable):
        executor.reattach_to_dismiss()
        executor.dismiss(server.leave_after_s)
    journal.give_up()
    journal.close()
    return 0


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
            print("waiting for the lease of another jobs service to end", file=sys.stderr, flush=True)
        time.sleep(0.05)
