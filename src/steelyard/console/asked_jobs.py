"""The jobs service, asked without blocking the loop: one thread, one connection, answers shared for a moment.

Many viewers of one page cost the service one question a second, also when they ask at the same moment. A
service that does not answer is not asked again for a few seconds; an order is given all the same.
"""

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from steelyard.console.planes import JobsPlane
from steelyard.model.errors import BadRequest, OutcomeUnknown, SteelyardError

FRESH_S = 0.9
KEPT_ANSWERS = 64
PAUSE_S = 3.0
PATIENCE_S = 2.0
ORDER_PATIENCE_S = 5.0  # as the client of the service itself has: an order is not given up before it


class NoJobs(SteelyardError):
    """There is no jobs service to show. The message says what to do."""

    http_status = 503


class AskedJobs:
    """plane: None when the console shows no jobs."""

    def __init__(self, plane: JobsPlane | None) -> None:
        self._plane = plane
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="console-jobs")
        self._answers: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[dict[str, Any]]] = {}
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
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self.tell(op, **values))
            task.add_done_callback(lambda done: self._note(key, done))
        await asyncio.wait((task,))
        return task.result()

    def _note(self, key: str, done: asyncio.Task[dict[str, Any]]) -> None:
        failed = done.cancelled() or done.exception() is not None
        if self._asking.get(key) is not done:
            return  # an order came while it was asked: good enough for who asked before, for nobody later
        del self._asking[key]
        if failed:
            return
        self._answers[key] = (monotonic(), done.result())
        self._answers.move_to_end(key)
        if len(self._answers) > KEPT_ANSWERS:
            self._answers.popitem(last=False)

    async def tell(self, op: str, **values: object) -> dict[str, Any]:
        """A question whose answer must be of now. Raises as `ask` does."""
        if self._absent is not None and monotonic() < self._absent_until_s:
            raise self._absent
        try:
            answer = await self._given(PATIENCE_S, op, values)
        except BadRequest:
            raise
        except SteelyardError as error:
            raise self._lost(str(error)) from None
        self._absent = None
        return answer

    async def order(self, op: str, **values: object) -> dict[str, Any]:
        """Have something done.

        Raises BadRequest with what the service says, OutcomeUnknown when it was told and did not answer, and
        NoJobs when it was not told and will not be.
        """
        try:
            return await self._given(ORDER_PATIENCE_S, op, values)
        except BadRequest:
            raise
        except OutcomeUnknown as error:
            raise OutcomeUnknown(
                f"{error}; it may follow this order yet, or have followed it: look before you give it again"
            ) from None
        except SteelyardError as error:
            raise self._lost(str(error)) from None

    async def _given(self, patience_s: float, op: str, values: dict[str, object]) -> dict[str, Any]:
        plane = self._plane
        if plane is None:
            raise NoJobs("this console shows no jobs: console.jobs is false in the gateway's configuration")
        running = self._thread.submit(lambda: plane.ask(op, **values))
        asked = asyncio.wrap_future(running)
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())
        answered, _ = await asyncio.wait((asked,), timeout=patience_s)
        if answered:
            return asked.result()
        silence = f"the jobs service has not answered for {patience_s:g} s: it may be busy"
        if running.cancel():  # it waited behind another one, and now is never sent
            raise NoJobs(silence)
        raise OutcomeUnknown(silence)

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
        self._asking.clear()
