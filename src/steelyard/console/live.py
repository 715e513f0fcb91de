"""Pages that move: one stream of server-sent events a viewer, with what changed since the second before.

`regions` carries elements of the page as HTML, by id; `points` the charts' newest points; `log` what a task
wrote. What several viewers of one page see is made once. Streams are counted, and the admin port lets
go of whoever reads too slowly.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable

from steelyard.console import answers, templates
from steelyard.console.asked_jobs import NoJobs
from steelyard.console.history import SERIES
from steelyard.console.page import Context, Page, Query
from steelyard.console.watch import Watch
from steelyard.model.errors import SteelyardError

QUIET_TICKS = 10  # seconds without an event, after which a comment shows that the connection lives
KEPT_VIEWS = 32
LOG_TAIL_BYTES = 16_384


class Live:
    """All streams of one console."""

    def __init__(self, watch: Watch, max_viewers: int) -> None:
        self.watch = watch
        self.max_viewers = max_viewers
        self._made: OrderedDict[tuple[str, str], tuple[int, asyncio.Task[dict[str, str]]]] = OrderedDict()

    @property
    def full(self) -> bool:
        """Whether one more would be too many."""
        return self.watch.viewers >= self.max_viewers

    async def regions(self, page: Page, query: Query, shared: Context) -> dict[str, str]:
        """The moving elements of a page as they are in this second, by id."""
        key, tick = (page.name, query.with_()), self.watch.ticks
        found = self._made.get(key)
        if found is None or found[0] != tick:
            # All streams wake at one tick, so what is shared is the making, not only what was made.
            making = asyncio.create_task(self._make(page, query, shared))
            making.add_done_callback(lambda done: done.cancelled() or done.exception())
            found = self._made[key] = (tick, making)
            self._made.move_to_end(key)
            if len(self._made) > KEPT_VIEWS:
                self._made.popitem(last=False)
        await asyncio.wait((found[1],))  # unlike awaiting it: a viewer who leaves does not end it for all
        return found[1].result()

    async def _make(self, page: Page, query: Query, shared: Context) -> dict[str, str]:
        values = {**shared, **await page.context(self.watch, query)}
        return {name: templates.render(f"regions/{name}", values) for name in page.regions}

    async def events(
        self, page: Page, query: Query, shared: Context, let_in: Callable[[], bool] = lambda: True
    ) -> AsyncGenerator[bytes, None]:
        """Pieces of the stream, for as long as its viewer is let in: a session may end while it looks."""
        if self.full:
            return
        self.watch.viewers += 1
        try:
            yield b"retry: 3000\n\n"
            sent: dict[str, str] = {}
            points_seen, quiet, log = 0, 0, TaskLog(self.watch, query.text("task"))
            while let_in():
                piece = b""
                made = await self.regions(page, query, shared)
                changed = {name: text for name, text in made.items() if sent.get(name) != text}
                if changed:
                    piece += answers.event("regions", changed)
                    sent = made
                if page.charts and (points := self.watch.points.since(points_seen)):
                    piece += answers.event("points", {"names": SERIES, "points": points})
                    points_seen = self.watch.points.added
                if page.log and (text := await log.more()):
                    piece += answers.event("log", text)
                quiet = 0 if piece else quiet + 1
                if quiet >= QUIET_TICKS:
                    piece, quiet = b": still here\n\n", 0
                if piece:
                    yield piece
                await self.watch.next_tick()
        finally:
            self.watch.viewers -= 1


class TaskLog:
    """What one task writes, from near its end on."""

    def __init__(self, watch: Watch, task_id: str) -> None:
        self._watch = watch
        self._task_id = task_id
        self._offset = -LOG_TAIL_BYTES
        self._epoch = -1

    async def more(self) -> dict[str, object] | None:
        """What came since the last time; None for nothing. anew: it is another attempt's."""
        if not self._task_id:
            return None
        try:
            answer = await self._watch.jobs.tell("logs", task=self._task_id, offset=self._offset)
            anew = answer["epoch"] != self._epoch
            if anew and self._epoch >= 0:
                answer = await self._watch.jobs.tell("logs", task=self._task_id, offset=-LOG_TAIL_BYTES)
        except (NoJobs, SteelyardError):
            return None
        self._offset, self._epoch = answer["offset"], answer["epoch"]
        if not answer["text"] and not anew:
            return None
        return {"text": answer["text"], "anew": anew, "over": answer["final"]}
