"""The jobs service, asked without blocking the loop: one thread, one connection, answers shared for a moment.

Many viewers of one page cost the service one question a second. A service that does not answer is not
asked again for a few seconds.
"""

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from steelyard.console.planes import JobsPlane
from steelyard.model.errors import BadRequest, SteelyardError

FRESH_S = 0.9
KEPT_ANSWERS = 64
PAUSE_S = 3.0
PATIENCE_S = 2.0


class NoJobs(SteelyardError):
    """There is no jobs service to show. The message says what to do."""

    http_status = 503


class AskedJobs:
    """plane: None when the console shows no jobs."""

    def __init__(self, plane: JobsPlane | None) -> None:
        self._plane = plane
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="console-jobs")
        self._answers: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()
        self._absent: NoJobs | None = None
        self._absent_until_s = 0.0

    @property
    def wanted(self) -> bool:
        """Whether jobs are shown at all."""
        return self._plane is not None

    async def ask(self, op: str, **values: object) -> dict[str, Any]:
        """An answer not older than a second. Raises NoJobs, or BadRequest with what the service says."""
        key = repr((op, sorted(values.items())))
        found = self._answers.get(key)
        if found is not None and monotonic() - found[0] < FRESH_S:
            return found[1]
        answer = await self.tell(op, **values)
        self._answers[key] = (monotonic(), answer)
        self._answers.move_to_end(key)
        if len(self._answers) > KEPT_ANSWERS:
            self._answers.popitem(last=False)
        return answer

    async def tell(self, op: str, **values: object) -> dict[str, Any]:
        """An order, or a question whose answer must be of now. Raises as `ask` does."""
        plane = self._plane
        if plane is None:
            raise NoJobs("this console shows no jobs: console.jobs is false in the gateway's configuration")
        if self._absent is not None and monotonic() < self._absent_until_s:
            raise self._absent
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._thread, lambda: plane.ask(op, **values))
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())
        answered, _ = await asyncio.wait((asked,), timeout=PATIENCE_S)
        if not answered:
            raise self._lost(f"the jobs service has not answered for {PATIENCE_S:g} s: it may be busy")
        try:
            answer = asked.result()
        except BadRequest:
            raise
        except SteelyardError as error:
            raise self._lost(str(error)) from None
        self._absent = None
        return answer

    def _lost(self, message: str) -> NoJobs:
        """Nobody waits for a while: a page that says so now is better than one that comes late."""
        self._absent, self._absent_until_s = NoJobs(message), monotonic() + PAUSE_S
        return self._absent

    def close(self) -> None:
        """Ask no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def forget(self) -> None:
        """After an order: what was answered before it is not so any more."""
        self._answers.clear()
