"""What several viewers of one page share."""

import asyncio
from dataclasses import replace

from tests.harness.console_planes import MemoryGateway

from steelyard.console.live import Live
from steelyard.console.page import Context, Query
from steelyard.console.pages.registry import PAGES
from steelyard.console.planes import Origins
from steelyard.console.watch import Watch


def watch() -> Watch:
    return Watch(MemoryGateway(), None, 2.0, lambda _: Origins())


def test_streams_that_wake_at_one_tick_make_their_page_once() -> None:
    made = 0

    async def context(_: Watch, __: Query) -> Context:
        nonlocal made
        made += 1
        await asyncio.sleep(0)  # as every page that asks a plane
        return {}

    async def use() -> None:
        live = Live(watch(), 16)
        page = replace(PAGES["overview"], context=context, regions=())
        for tick in range(1, 4):
            live.watch.ticks = tick
            await asyncio.gather(*(live.regions(page, Query(""), {}) for _ in range(8)))
            assert made == tick
        await asyncio.gather(*(live.regions(page, Query(f"q={who}"), {}) for who in "ab"))
        assert made == 5

    asyncio.run(use())
