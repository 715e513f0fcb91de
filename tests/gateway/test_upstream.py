"""Kept connections to engines: what comes on them, and whose fault it is."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest
import uvloop
from tests.harness.in_process import Bench
from tests.harness.raw_client import post

from steelyard.gateway.upstream import MAX_JOINED_BYTES, AnswerReceiver, UpstreamConnection

CHAT = post("/v1/chat/completions")
LARGE = post("/v1/chat/completions", b'{"model":"m","messages":[],"user":"%b"}' % (b"x" * MAX_JOINED_BYTES))
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(2, pool={"policy": "round-robin"})
    yield made
    made.close()


@pytest.mark.parametrize(
    "said",
    [
        b"poison",
        b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\npoison",
    ],
)
def test_what_is_no_answer_on_a_kept_connection_is_asked_again_on_a_fresh_one(said: bytes) -> None:
    bench = Bench(1)
    connection, _ = bench.idle(0)
    client, _ = bench.client()
    client.data_received(CHAT)
    bench.end_turn()
    connection.data_received(ANSWER)
    client.data_received(CHAT)
    bench.end_turn()
    assert connection.receiver is not None
    connection.data_received(said)
    exchange = client.exchange
    assert connection.transport.is_closing()
    assert exchange is not None
    assert exchange.connecting is not None
    assert exchange.attempts == 1
    assert not bench.context.router.troubled
    client.connection_lost(None)
    bench.close()


def test_what_is_no_answer_on_a_fresh_connection_is_the_engines_fault(bench: Bench) -> None:
    (first, _), (second, _other) = bench.idle(0), bench.idle(1)
    client, transport = bench.client()
    client.data_received(CHAT)
    asked, other = (first, second) if first.receiver is not None else (second, first)
    bench.end_turn()
    asked.data_received(b"poison")
    bench.end_turn()
    # It went elsewhere, on the other engine's connection, and is known as a failure of this one's.
    exchange = client.exchange
    assert exchange is not None
    assert exchange.connecting is None
    assert exchange.attempts == 2
    assert bench.context.router.troubled
    other.data_received(ANSWER)
    assert transport.written.startswith(b"HTTP/1.1 200 ")
    assert client.exchange is None


@pytest.mark.parametrize("request_bytes", [CHAT, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("late", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", None])
def test_a_kept_connection_on_which_anything_waits_is_not_used(
    late: bytes | None, request_bytes: bytes
) -> None:
    bench = Bench(1)
    near, far = socket.socketpair()
    dirty, engine = bench.idle(0, near)
    dirty.answered = 1
    with near, far:
        if late is None:
            far.shutdown(socket.SHUT_WR)
        else:
            far.send(late)
        client, _ = bench.client()
        client.data_received(request_bytes)
        bench.end_turn()
    assert dirty.transport.is_closing()
    assert not engine.written
    exchange = client.exchange
    assert exchange is not None
    assert exchange.connecting is not None
    assert exchange.attempts == 1
    client.connection_lost(None)
    bench.close()


def test_an_interim_answer_and_then_a_farewell_is_the_engines_fault() -> None:
    bench = Bench(1)
    connection, _ = bench.idle(0)
    connection.answered = 1
    client, transport = bench.client()
    client.data_received(CHAT)
    bench.turn()
    connection.data_received(b"HTTP/1.1 102 Processing\r\n\r\n")
    connection.connection_lost(None)
    assert transport.written.startswith(b"HTTP/1.1 502 ")
    bench.close()


def test_a_large_request_to_an_engine_that_reads_slowly_is_no_fault(bench: Bench) -> None:
    body = b"x" * 32_000_000  # more than the kernel takes at once
    problems: list[dict[str, Any]] = []

    async def send_it() -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(context))
        may_read = asyncio.Event()
        all_read: asyncio.Future[int] = loop.create_future()

        async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await may_read.wait()
            all_read.set_result(len(await reader.readexactly(len(body) + 4)))
            writer.close()

        async with await asyncio.start_server(engine, "127.0.0.1", 0, limit=65_536) as server:
            place = server.sockets[0].getsockname()
            pool = bench.context.upstreams[0]
            connection = UpstreamConnection(pool)
            await loop.create_connection(lambda: cast(asyncio.Protocol, connection), *place)
            connection.send(AnswerReceiver(), b"head", body, head_request=False)
            assert connection.transport.get_write_buffer_size() > 0
            may_read.set()
            read = await all_read
            connection.abandon()
            return read

    assert uvloop.run(send_it()) == len(body) + 4
    assert not problems


@pytest.mark.parametrize(("unsent", "kept"), [(0, True), (5, False)])
def test_a_connection_whose_engine_answers_before_it_has_read_all_is_not_kept(
    unsent: int, kept: bool
) -> None:
    bench = Bench(1)
    connection, engine = bench.idle(0)
    client, transport = bench.client()
    client.data_received(post("/v1/chat/completions", b'{"model":"m","x":"' + b"y" * 100_000 + b'"}'))
    bench.end_turn()
    engine.unsent = unsent
    connection.data_received(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
    bench.end_turn()
    assert transport.written.startswith(b"HTTP/1.1 413 ")
    assert engine.closed is not kept
    assert (bench.context.upstreams[0].take_idle(0.0) is connection) is kept
    bench.close()
