"""One request's life, seen from inside a worker."""

import json

from tests.harness.chaos_engine import LAST_CHUNK, STREAM_HEAD, chunked, content_events
from tests.harness.in_process import Bench, FakeTransport
from tests.harness.raw_client import stream_post

from steelyard.gateway import setbacks
from steelyard.gateway.client_connection import ClientConnection
from steelyard.gateway.upstream import UpstreamConnection

CHAT = "/v1/chat/completions"
Client = tuple[ClientConnection, FakeTransport]
Engine = tuple[UpstreamConnection, FakeTransport]


def asks_one_of_two(bench: Bench) -> tuple[Client, Engine, Engine]:
    """A client whose stream was asked of one engine; that engine, and the other."""
    engines = [bench.idle(0), bench.idle(1)]
    client = bench.client()
    client[0].data_received(stream_post(CHAT))
    bench.end_turn()
    first, second = engines if engines[0][0].receiver is not None else engines[::-1]
    return client, first, second


def test_a_stream_that_goes_on_elsewhere_does_not_overrun_a_client_that_reads_slowly() -> None:
    bench = Bench(2)
    (client, transport), first, second = asks_one_of_two(bench)
    first[0].data_received(STREAM_HEAD + content_events("one ", "two "))
    client.pause_writing()
    assert not first[1].reads()
    first[0].data_received(chunked(b"data: {broken\n\n"))
    bench.end_turn()
    assert client.exchange is not None
    assert client.exchange.connection is second[0]
    assert not second[1].reads()  # before a byte of it has come
    exchange = client.exchange
    limits = bench.configuration.pools[0].timeouts
    # The silence is the client's: no engine is to blame for it.
    setbacks.check_deadlines(exchange, exchange.last_s + limits.first_token_timeout_s + 1)
    assert client.exchange is exchange
    client.resume_writing()
    assert second[1].reads()
    again = content_events("one ", "two ", "three")
    second[0].data_received(STREAM_HEAD + again + chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    assert json.dumps("three").encode() in transport.written
    assert transport.written.count(b'"two "') == 1
    bench.close()


def test_a_whole_answer_that_is_no_stream_leaves_no_engine_behind_that_answers_too_late() -> None:
    bench = Bench(2)
    (client, transport), first, second = asks_one_of_two(bench)
    malformed, well = (
        STREAM_HEAD.replace(b"Transfer-Encoding: chunked", b"Content-Length: %d" % len(body)) + body
        for body in (b"data: {broken\n\n", b"data: [DONE]\n\n")
    )
    first[0].data_received(malformed)
    bench.end_turn()
    exchange = client.exchange
    assert exchange is not None
    assert exchange.connection is second[0]
    limit_s = bench.configuration.pools[0].timeouts.head_timeout_s
    setbacks.check_deadlines(exchange, exchange.last_s + limit_s + 1)
    assert second[1].closed
    assert transport.written.startswith(b"HTTP/1.1 504 ")
    transport.written = b""
    second[0].data_received(well)
    assert not transport.written
    bench.close()


def test_a_client_whose_time_is_over_behind_the_end_of_its_stream_has_a_whole_answer() -> None:
    bench = Bench(1)
    engine, sent = bench.idle(0)
    client, transport = bench.client()
    client.data_received(stream_post(CHAT))
    bench.end_turn()
    engine.data_received(STREAM_HEAD + content_events("one ") + chunked(b"data: [DONE]\n\n"))
    assert client.exchange is not None
    setbacks.out_of_time(client.exchange, "the client's own limit is over")
    assert sent.closed
    assert transport.written.endswith(LAST_CHUNK)
    assert not transport.closed
    bench.close()
