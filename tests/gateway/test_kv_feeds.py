"""Engines that publish cache events and cannot say a prompt's tokens, or are asked for too many."""

import asyncio
from array import array
from collections.abc import Awaitable, Callable

import pytest

from steelyard.engines.kv_events import BlocksStored, CacheCleared
from steelyard.gateway.kv_feeds import MAX_BODIES, MAX_WAITING, EngineFollower, KvLearner
from steelyard.model.fleet import Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.prefix_index import PrefixIndex

TOKENS = array("I", range(600))


def prompt(number: int) -> Request:
    block = number * 0x9E3779B97F4A7C15 & (1 << 62) - 1
    return Request(prompt_tokens=256, prefix_hashes=(block,), prefix_block_tokens=256)


def follower(base_url: str = "http://127.0.0.1:9") -> EngineFollower:
    return EngineFollower(0, base_url, PrefixIndex())


async def answering(status: bytes, body: bytes, use: Callable[[str], Awaitable[None]]) -> int:
    """Serve one answer to whoever asks; how often that was."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        await use(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    return asked


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (b"404 Not Found", b"{}"),
        (b"200 OK", b"no JSON"),
        (b"200 OK", b'{"tokens": [-1]}'),
        (b"200 OK", b"[]"),
    ],
)
def test_an_engine_that_cannot_say_tokens_is_asked_three_times(
    status: bytes, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async def use(url: str) -> None:
        engine = follower(url)
        for number in range(1, 6):
            engine.answered(prompt(number), b"{}")
        await asyncio.wait_for(engine.tie_prompts(), 15)

    assert asyncio.run(answering(status, body, use)) == 3
    assert "/tokenize does not answer" in capsys.readouterr().err


def test_prompts_that_wait_are_bounded_and_asked_for_once() -> None:
    engine = follower()
    for number in range(1, 2 * MAX_WAITING):
        engine.answered(prompt(number), b"{}")
        engine.answered(prompt(1), b"{}")
    assert len(engine._waiting) == MAX_WAITING


def test_bodies_are_bounded_and_kept_for_followed_engines_only() -> None:
    engine = follower()
    learner = KvLearner(None, {0: engine})
    for number in range(1, 2 * MAX_BODIES):
        learner.sees(prompt(number), b"{}")
    assert len(learner._bodies) == MAX_BODIES
    last = prompt(2 * MAX_BODIES - 1)
    learner.observe_finish(Pick(5, ""), last, 1.0, 1, 0, Fleet(), 0.0)
    assert not engine._waiting
    learner.observe_finish(Pick(0, ""), last, 1.0, 1, 0, Fleet(), 0.0)
    assert len(engine._waiting) == 1


def test_a_cleared_cache_is_an_empty_index() -> None:
    engine, request = follower(), prompt(1)
    engine.index.insert(0, request.prefix_hashes, 100, 0)
    engine.heard([BlocksStored((1, 2), 0, TOKENS[:32], 16), CacheCleared()])
    assert engine.index.held(0, request.prefix_hashes) == 0
    assert len(engine.blocks) == 0
