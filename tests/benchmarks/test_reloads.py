"""The reload benchmark's own parts: its clients count what they should, and a cut answer is seen."""

import asyncio

import pytest
from benchmarks.overhead.processes import free_port

from benchmarks import reloads


async def measured(rate: float, seconds: float) -> tuple[reloads.Seen, int]:
    acts: list[int] = []
    port = free_port()
    server = await asyncio.get_running_loop().create_server(reloads.Engine, "127.0.0.1", port)
    async with server:
        seen = await reloads.load(port, seconds, rate, 3, lambda: acts.append(1), 2)
    return seen, len(acts)


def test_the_open_loop_keeps_its_rate_and_sees_whole_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloads, "STREAM_S", 0.2)
    monkeypatch.setattr(reloads, "EVENT_S", 0.05)
    seen, acts = asyncio.run(measured(100, 1.0))
    assert (seen.failed, seen.cut, acts) == ([], [], 2)
    assert 90 <= seen.requests <= 101
    assert seen.streams >= 3


def test_a_cut_stream_and_a_closed_connection_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def close(self: reloads.Engine, left: int) -> None:
        self._transport.close()

    monkeypatch.setattr(reloads.Engine, "_go_on", close)
    monkeypatch.setattr(reloads, "whole", lambda body: b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    seen, _ = asyncio.run(measured(50, 0.3))
    assert len(seen.cut) == seen.streams >= 3
    assert len(seen.failed) == seen.requests > 0
