"""Engines that publish cache events and cannot say a prompt's tokens, or are asked for too many."""

import asyncio
from array import array
from collections.abc import Awaitable, Callable

import pytest

from steelyard.engines.kv_events import BlocksStored, CacheCleared
from steelyard.gateway.kv_feeds import (
    MAX_BODIES,
    MAX_BODY_BYTES,
    MAX_FAILURES,
    MAX_KEPT_BYTES,
    MAX_WAITING,
    EngineFollower,
    KvLearner,
)
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


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.001)


async def answering(status: bytes, body: bytes, use: Callable[[str], Awaitable[None]], port: int = 0) -> int:
    """Serve one answer to whoever asks; how often that was."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        await use(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    return asked


@pytest.mark.parametrize("status", [b"404 Not Found", b"405 Method Not Allowed", b"501 Not Implemented"])
def test_an_engine_without_tokenize_is_asked_three_times_until_it_begins_anew(
    status: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async def use(url: str) -> None:
        engine = follower(url)
        task = asyncio.create_task(engine.tie_prompts())
        for _ in range(2):
            for number in range(1, 6):
                engine.answered(prompt(number), b"{}")
            await until(lambda: engine.failures == MAX_FAILURES)
            engine.answered(prompt(7), b"{}")
            assert not engine._waiting
            assert not engine._tied
            engine.forget()
        task.cancel()

    assert asyncio.run(answering(status, b"{}", use)) == 6
    assert capsys.readouterr().err.count("has no /tokenize") == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (b"200 OK", b"no JSON"),
        (b"200 OK", b'{"tokens": [-1]}'),
        (b"200 OK", b"[]"),
        (b"503 Service Unavailable", b"{}"),
    ],
)
def test_an_engine_that_fails_is_left_alone_for_a_while_and_its_prompts_are_forgotten(
    status: bytes, body: bytes
) -> None:
    async def use(url: str) -> None:
        engine = follower(url)
        task = asyncio.create_task(engine.tie_prompts())
        for number in range(1, 6):
            engine.answered(prompt(number), b"{}")
        await until(lambda: engine._resting)
        engine.answered(prompt(1), b"{}")
        assert not engine._waiting
        assert not engine._tied
        assert engine.bodies.free_bytes == MAX_KEPT_BYTES
        engine.forget()  # it began anew: the rest is over
        await until(lambda: not engine._resting)
        engine.answered(prompt(1), b"{}")
        await until(lambda: engine._resting)
        task.cancel()

    assert asyncio.run(answering(status, body, use)) == 2


def test_an_engine_that_refuses_connections_is_asked_again_until_it_answers() -> None:
    async def scenario() -> int:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        engine = EngineFollower(0, f"http://127.0.0.1:{port}", PrefixIndex(), first_rest_s=1e-9)
        task = asyncio.create_task(engine.tie_prompts())
        for count in range(1, 2 * MAX_FAILURES):
            await until(lambda: not engine._resting)
            engine.answered(prompt(1), b"{}")
            await until(lambda count=count: engine.rests == count)  # type: ignore[misc]  # mypy infers no default of a lambda

        async def use(_: str) -> None:
            await until(lambda: not engine._resting)
            engine.answered(prompt(1), b"{}")
            await until(lambda: engine.rests == 0)

        asked = await answering(b"200 OK", b'{"tokens": [1]}', use, port)
        assert engine._tied
        task.cancel()
        return asked

    assert asyncio.run(scenario()) == 1


def test_a_prompt_that_is_refused_is_asked_for_once_and_does_not_hold_up_others() -> None:
    async def use(url: str) -> None:
        engine = follower(url)
        task = asyncio.create_task(engine.tie_prompts())
        for number in (1, 2, 3, 4, 1):
            engine.answered(prompt(number), b"{}")
        await until(lambda: engine.bodies.free_bytes == MAX_KEPT_BYTES)
        assert not engine._resting
        task.cancel()

    assert asyncio.run(answering(b"400 Bad Request", b"{}", use)) == 4


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
    assert len(learner.bodies.unanswered) == MAX_BODIES
    last, before = prompt(2 * MAX_BODIES - 1), prompt(2 * MAX_BODIES - 2)
    learner.observe_finish(Pick(5, ""), last, 1.0, 1, 0, Fleet(), 0.0)
    assert not engine._waiting
    assert len(learner.bodies.unanswered) == MAX_BODIES - 1
    learner.observe_finish(Pick(0, ""), before, 1.0, 1, 0, Fleet(), 0.0)
    assert len(engine._waiting) == 1


def test_bodies_have_one_room_of_bytes_wherever_they_wait() -> None:
    engine = follower()
    one, two = KvLearner(None, {0: engine}, engine.bodies), KvLearner(None, {}, engine.bodies)
    body = b"x" * MAX_BODY_BYTES
    fit = MAX_KEPT_BYTES // MAX_BODY_BYTES
    for number in range(1, fit + 1):
        one.sees(prompt(number), body)
        one.sees(prompt(number), body)  # the same again takes no more
    two.sees(prompt(fit + 1), body)  # the oldest gives way, whosever it is
    assert list(engine.bodies.unanswered) == [prompt(n).prefix_hashes[-1] for n in range(2, fit + 2)]
    for number in range(2, fit + 2):
        one.observe_finish(Pick(0, ""), prompt(number), 1.0, 1, 0, Fleet(), 0.0)
    assert (len(engine._waiting), engine.bodies.free_bytes) == (fit, 0)
    one.sees(prompt(1), body)
    assert not engine.bodies.unanswered


def test_a_cleared_cache_is_an_empty_index() -> None:
    engine, request = follower(), prompt(1)
    engine.index.insert(0, request.prefix_hashes, 100, 0)
    engine.heard([BlocksStored((1, 2), 0, TOKENS[:32], 16), CacheCleared()])
    assert engine.index.held(0, request.prefix_hashes) == 0
    assert len(engine.blocks) == 0
