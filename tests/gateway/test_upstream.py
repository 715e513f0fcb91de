"""Kept connections to engines: what comes on them, and whose fault it is."""

from collections.abc import Iterator
from time import monotonic

import pytest
from tests.harness.in_process import Bench
from tests.harness.raw_client import post

CHAT = post("/v1/chat/completions")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(2, pool={"policy": "round-robin"})
    yield made
    made.close()


@pytest.mark.parametrize("said", [b"garbage", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"\r\n"])
def test_a_malformed_answer_on_a_kept_connection_is_the_engines_fault(bench: Bench, said: bytes) -> None:
    (first, _), (second, _other) = bench.idle(0), bench.idle(1)
    first.answered = second.answered = 1
    client, transport = bench.client()
    client.data_received(CHAT)
    asked = first if first.receiver is not None else second
    bench.turn()
    asked.data_received(said)
    assert asked.transport.is_closing()
    # It went elsewhere, on the other engine's connection, and is known as a failure of this one's.
    exchange = client.exchange
    assert exchange is not None
    assert exchange.connecting is None
    assert exchange.attempts == 2
    assert bench.context.router.troubled
    (second if asked is first else first).data_received(ANSWER)
    assert transport.written.startswith(b"HTTP/1.1 200 ")
    assert client.exchange is None


def test_a_malformed_answer_on_the_only_engines_kept_connection_is_a_502() -> None:
    bench = Bench(1)
    connection, _ = bench.idle(0)
    connection.answered = 1
    client, transport = bench.client()
    client.data_received(CHAT)
    bench.turn()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
    assert transport.written.startswith(b"HTTP/1.1 502 ")
    bench.close()


@pytest.mark.parametrize("said", [b"poison", b"\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
def test_what_an_answer_left_behind_is_nobodys_and_no_fault(said: bytes) -> None:
    bench = Bench(1)
    connection, _ = bench.idle(0)
    client, _ = bench.client()
    client.data_received(CHAT)
    connection.data_received(ANSWER)
    client.data_received(CHAT)
    assert connection.receiver is not None
    connection.idle_since_s = monotonic() + 1  # however slow this machine is
    connection.data_received(said)  # at once: no engine answers so soon
    exchange = client.exchange
    assert connection.transport.is_closing()
    assert exchange is not None
    assert exchange.connecting is not None
    assert exchange.attempts == 1
    assert not bench.context.router.troubled
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
