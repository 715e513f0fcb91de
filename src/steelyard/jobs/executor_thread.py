"""The executor in a thread of its own: its calls may block, the service's turns must not.

Orders go in; events, reports and verdicts on silent nodes come out, as values for the service's inbox.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steelyard.jobs.executor import Attempt, AttemptEvent, Executor, NodeReport, StartOrder
from steelyard.model.errors import SteelyardError
from steelyard.policies.failure.suspicion import SuspicionRules, Word

POLL_S = 0.05
REPORT_S = 0.5


@dataclass(frozen=True, slots=True)
class Observed:
    """What the executor saw: events, all nodes when it looked at them, nodes lost (with why) and returned."""

    events: tuple[AttemptEvent, ...] = ()
    reports: tuple[NodeReport, ...] | None = None
    lost: tuple[tuple[str, str], ...] = ()
    returned: tuple[str, ...] = ()
    failure: str = ""


class ExecutorThread:
    """See the module.

    tell: takes what was observed; called from the thread.
    """

    def __init__(self, executor: Executor, rules: SuspicionRules, tell: Callable[[Observed], None]) -> None:
        self._executor = executor
        self._rules = rules
        self._tell = tell
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="executor", daemon=True)
        self._lost: dict[str, float] = {}
        self._awaited: dict[str, float] = {}
        self._next_report_s = 0.0
        self.executor = executor

    def begin(self, live: Sequence[tuple[Attempt, str]], lost: Sequence[str]) -> None:
        """Reattach, in this thread so that a failure is the caller's, then go on in the other."""
        self._executor.reattach(live)
        now_s = time.monotonic()
        self._lost = dict.fromkeys(lost, now_s)
        # Nodes on which something ran when the last service ended: the executor may know them no more.
        self._awaited = dict.fromkeys((node_id for _, node_id in live), now_s)
        self._thread.start()

    def start(self, order: StartOrder) -> None:
        """Order a start."""
        self._orders.put(lambda: self._executor.start(order))

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Order a stop."""
        self._orders.put(lambda: self._executor.stop(attempt, grace_s))

    def acknowledge(self, attempt: Attempt) -> None:
        """An end is recorded."""
        self._orders.put(lambda: self._executor.acknowledge(attempt))

    def read_log(self, attempt: Attempt, offset_bytes: int, limit_bytes: int, timeout_s: float) -> bytes:
        """A piece of an attempt's output, from where it runs; empty when that takes too long."""
        found: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._orders.put(lambda: found.put(self._executor.read_log(attempt, offset_bytes, limit_bytes)))
        try:
            return found.get(timeout=timeout_s)
        except queue.Empty:
            return b""

    def end(self) -> None:
        """Finish what was ordered and leave; tasks run on."""
        self._orders.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._obey():
                self._observe(time.monotonic())
            self._executor.close()
        except (SteelyardError, OSError) as error:
            self._tell(Observed(failure=str(error)))
        except Exception as error:  # noqa: BLE001  (a thread that dies in silence leaves tasks unwatched)
            self._tell(Observed(failure=f"{type(error).__name__}: {error}"))

    def _obey(self) -> bool:
        """Carry out what was ordered; wait a little when nothing was. False at the end."""
        try:
            order = self._orders.get(timeout=POLL_S)
            while order is not None:
                order()
                order = self._orders.get_nowait()
        except queue.Empty:
            return True
        return False

    def _observe(self, now_s: float) -> None:
        events = tuple(self._executor.poll())
        if now_s < self._next_report_s:
            if events:
                self._tell(Observed(events=events))
            return
        self._next_report_s = now_s + REPORT_S
        reports = tuple(self._executor.nodes())
        lost, returned = self._judge(reports, now_s)
        self._tell(Observed(events=events, reports=reports, lost=lost, returned=returned))

    def _judge(
        self, reports: tuple[NodeReport, ...], now_s: float
    ) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
        """Verdicts, each with its fence: a node is told as lost when nothing can run there any more."""
        lost, returned = [], []
        for report in reports:
            node_id = report.node_id
            if node_id in self._lost:
                if report.heard_at_s > self._lost[node_id]:
                    del self._lost[node_id]
                    returned.append(node_id)
                continue
            silence_s = now_s - report.heard_at_s
            if not self._rules.is_suspect(silence_s):
                continue
            word = self._executor.witness(node_id)
            why = self._rules.verdict(silence_s, word)
            if why and (
                self._executor.fence(node_id) or word is Word.DEAD or silence_s >= self._rules.lease_s
            ):
                self._lost[node_id] = time.monotonic()
                lost.append((node_id, why))
        lost += self._never_came(reports, now_s)
        return tuple(lost), tuple(returned)

    def _never_came(self, reports: tuple[NodeReport, ...], now_s: float) -> list[tuple[str, str]]:
        """Awaited nodes unheard of for as long as a lease: nobody will tell of their tasks."""
        for report in reports:
            self._awaited.pop(report.node_id, None)
        lost = []
        for node_id, since_s in [*self._awaited.items()]:
            if now_s - since_s >= self._rules.lease_s:
                del self._awaited[node_id]
                self._executor.fence(node_id)
                self._lost[node_id] = time.monotonic()
                lost.append((node_id, f"the {self._executor.name} executor knows no such node any more"))
        return lost
