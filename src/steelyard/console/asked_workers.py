"""The workers, asked for receipts and counts. They look for questions five times a second, so an answer takes
up to 0.2 s: a page's first paint does not wait for it, its stream does.

One question at a time is open for each thing that is asked, however many look, and its answer serves all of
them for a moment. What is kept has a bound.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from steelyard.model.errors import SteelyardError

FRESH_S = 0.9
KEPT_ANSWERS = 32


class NotYet(SteelyardError):
    """The workers have been asked and will answer; look again in a moment."""

    http_status = 503


@dataclass(frozen=True, slots=True)
class _Said:
    """An answer, or the error that stands for it."""

    at_s: float
    value: Any = None
    error: SteelyardError | None = None


class AskedWorkers:
    """Answers that several viewers share."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, _Said] = OrderedDict()
        self._asking: dict[str, asyncio.Task[_Said]] = {}

    async def ask(self, key: str, question: Callable[[], Awaitable[Any]], patience_s: float) -> Any:
        """The answer, not older than a second if it comes within `patience_s`, else the last one.

        Raises the error that it was answered with, or NotYet when there is no answer at all.
        """
        said = self._said.get(key)
        if said is None or monotonic() - said.at_s >= FRESH_S:
            said = await self._ask_anew(key, question, patience_s) or said
        if said is None:
            raise NotYet("the workers have not answered yet")
        if said.error is not None:
            raise said.error
        return said.value

    async def ask_or_none(self, key: str, question: Callable[[], Awaitable[Any]], patience_s: float) -> Any:
        """The same, and None where there is no answer or only an error."""
        try:
            return await self.ask(key, question, patience_s)
        except SteelyardError:
            return None

    async def _ask_anew(
        self, key: str, question: Callable[[], Awaitable[Any]], patience_s: float
    ) -> _Said | None:
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._note(key, question))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        done, _ = await asyncio.wait((task,), timeout=patience_s)
        return task.result() if done else None

    async def _note(self, key: str, question: Callable[[], Awaitable[Any]]) -> _Said:
        try:
            said = _Said(monotonic(), await question())
        except SteelyardError as error:
            said = _Said(monotonic(), error=error)
        self._said[key] = said
        self._said.move_to_end(key)
        if len(self._said) > KEPT_ANSWERS:
            self._said.popitem(last=False)
        return said
