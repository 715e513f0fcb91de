"""What several viewers of one page share, and when a stream ends."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.harness.console_planes import MemoryGateway, Port, on_port

from steelyard.console.live import Live
from steelyard.console.page import Context, Query
from steelyard.console.pages.registry import PAGES
from steelyard.console.planes import Origins
from steelyard.console.watch import Watch
from steelyard.runtime.admin_door import SESSION_S


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


@pytest.mark.parametrize("end", ["log-out", "expiry"])
def test_a_sessions_streams_end_with_it_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    key = tmp_path / "admin.key"
    key.write_text("open sesame\n")
    key.chmod(0o600)

    async def use(port: Port) -> None:
        said = await port.ask("POST", "/console/login", urlencode({"key": "open sesame"}))
        shown = f"Cookie: {said.field('set-cookie').partition(';')[0]}"
        with_session, closed = await port.send("GET", "/console/events?page=replicas", fields=(shown,))
        with_key, writer = await port.send(
            "GET", "/console/events?page=replicas", fields=("Authorization: Bearer open sesame",)
        )
        for reader in (with_session, with_key):
            await reader.readuntil(b"event: regions")
        if end == "log-out":
            body = urlencode({"token": await port.token(shown)})
            await port.ask("POST", "/console/logout", body, (shown,))
        else:
            later = time.time() + SESSION_S + 1
            monkeypatch.setattr(time, "time", lambda: later)
        async with asyncio.timeout(20):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await with_session.readuntil(b"never said")
        assert port.console.watch.viewers == 1
        assert not with_key.at_eof()
        closed.close()
        writer.close()

    on_port(use, key=key)
