"""A client's connection: however its bytes come in pieces, the outcome is the same; and what time does."""

from collections.abc import Iterator
from itertools import pairwise
from time import monotonic

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.harness.in_process import Bench, FakeTransport
from tests.harness.raw_client import post

from steelyard.cluster.membership import Membership
from steelyard.config.schema import LimitOptions
from steelyard.gateway.client_connection import ClientConnection
from steelyard.gateway.worker import SLICE, SWEEP_S, Sweeper
from steelyard.gateway.worker_answers import WorkerAnswers
from steelyard.model.errors import BadRequest
from steelyard.runtime.page import SharedPage

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench(1, limits=LimitOptions(max_head_bytes=400))
    yield made
    made.close()


def outcome(bench: Bench, *pieces: bytes) -> tuple[list[bytes], list[bytes], bool]:
    """(what the engine was sent, status lines of the answers, whether the connection was closed)."""
    client, transport = bench.client()
    asked: list[bytes] = []
    for piece in pieces:
        engine, sent = bench.idle(0)
        if not transport.closed:
            client.data_received(piece)
        while client.exchange is not None:
            asked.append(_without_id(sent.written))
            connection = client.exchange.connection
            assert connection is not None
            sent.written = b""
            connection.data_received(ANSWER)
        bench.context.upstreams[0].forget(engine)
    bench.end_turn()
    if not transport.closed:
        client.connection_lost(None)
    statuses = [part.split(b"\r\n")[0] for part in transport.written.split(b"HTTP/1.1 ")[1:]]
    bench.context.connections.discard(client)
    return asked, statuses, transport.closed


def _without_id(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    return b"\r\n".join(line for line in head.split(b"\r\n") if line[:12] != b"X-Request-Id") + body


def split(data: bytes, at: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(each % (len(data) + 1) for each in at)})
    return [data[start:end] for start, end in pairwise(ends)]


_PIECES = st.sampled_from(
    [
        b"\r\n", b"\r", b"\n", b"\r\n\r\n", b" ", b"\0", b"GET /x HTTP/1.1\r\n", b"Host: h\r\n", GET, CHUNKED,
        b"POST /x HTTP/1.1\r\n", b"Content-Length: 5\r\n", b"content-length: 05\r\n", b"hello",
        b"5\r\nhello\r\n", b"0\r\n", b"0\r\n\r\n", b"5;a=b\r\n", b"Trailer: x\r\n", b"A: b\n",
        b"A: b\r", b"X: " + b"y" * 390,
        b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"HTTP/1.0\r\n",
        b"Expect: 100-continue\r\n",
    ]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(_PIECES, max_size=8), st.lists(st.integers(0, 2000), max_size=6))
@example([b"FROB /x HTTP/1.1\r\n", b"A: b\n", b"\r\n"], [18])  # an unknown method, and a bare LF behind it
@example([b"FROB /x HTTP/1.1\r\n", b"A: b\n", b"\r\n"], [23])
@example([b"CONNECT /x HTTP/1.1\r\n", b"Host: h\r\n" * 2, b"\r\n"], [25])
@example([b"GET /x HTTP/2.0\r\n", b"A b\r\n", b"\r\n"], [17])
def test_split_anywhere_is_as_whole(bench: Bench, pieces: list[bytes], at: list[int]) -> None:
    data = b"".join(pieces)
    whole, parts = outcome(bench, data), outcome(bench, *split(data, at))
    assert [each for each in parts[1] if each[:3] != b"100"] == [
        each for each in whole[1] if each[:3] != b"100"
    ]
    assert (parts[0], parts[2]) == (whole[0], whole[2])


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n" + GET,
        b"\r\n" * 7 + GET,
        GET + b"\r\n\r\n" + GET,
        b"GET /x HTTP/1.1\r\nHost: h\r\nA: b\nC: d\r\n",  # a bare LF behind a good line
        b"\n" + GET,
        b"\r\n\n" + GET,
        b"GET /x HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 367 + b"\r\n\r\n",  # exactly as long as it may be
        b"GET /x HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 368 + b"\r\n\r\n",
        CHUNKED + b"5;" + b"x" * 4094 + b"\r\nhello\r\n0\r\n\r\n",  # a chunk line as long as it may be
        CHUNKED + b"5;" + b"x" * 4095 + b"\r\nhello\r\n0\r\n\r\n",
        post("/x", b"hello") + GET,
    ],
)
def test_byte_by_byte_is_as_whole(bench: Bench, data: bytes) -> None:
    assert outcome(bench, *(data[at : at + 1] for at in range(len(data)))) == outcome(bench, data)


def test_empty_lines_before_a_request_are_ignored(bench: Bench) -> None:
    assert outcome(bench, b"\r\n\r\n\r\n" + GET)[1] == [b"200 OK"]


# --- time ----------------------------------------------------------------------------------------


def answered(client: object, transport: FakeTransport, bench: Bench) -> None:
    client.data_received(GET)  # type: ignore[attr-defined]  # as the bench made it
    bench.end_turn()
    client.exchange.connection.data_received(ANSWER)  # type: ignore[attr-defined]  # as the bench made it
    transport.written = b""


def test_a_head_on_a_kept_connection_has_a_heads_time_from_its_first_byte(bench: Bench) -> None:
    client, transport = bench.client()
    bench.idle(0)
    answered(client, transport, bench)
    limits, now_s = bench.configuration.limits, monotonic()
    client.check_deadline(now_s + limits.client_head_timeout_s + 1)
    assert not transport.closed  # it may idle for longer than a head may take
    client.data_received(b"GET /x HTT")
    client.data_received(b"P/1.1\r\nA: ")
    client.check_deadline(now_s + limits.client_head_timeout_s - 1)
    assert not transport.closed
    client.check_deadline(now_s + limits.client_head_timeout_s + 1)
    assert transport.written.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "rest", [b"GET /x HT", b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab"]
)
def test_a_half_sent_request_of_a_half_closed_client_is_not_waited_for(bench: Bench, rest: bytes) -> None:
    client, transport = bench.client()
    engine, _ = bench.idle(0)
    client.data_received(GET + rest)
    bench.end_turn()
    assert client.eof_received()
    engine.data_received(ANSWER)
    bench.end_turn()
    assert transport.closed
    assert transport.written.count(b"HTTP/1.1 ") == 1
    client.connection_lost(None)


@pytest.mark.parametrize("more", [b"", b"garbage"])
def test_a_client_that_sends_on_behind_its_last_request_reads_its_answer(bench: Bench, more: bytes) -> None:
    """Bytes unread at the close would be answered by a reset, which overtakes the answer."""
    client, transport = bench.client()
    engine, _ = bench.idle(0)
    client.data_received(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + more)
    bench.end_turn()
    engine.data_received(ANSWER)
    bench.end_turn()
    assert (transport.closed, transport.half_closed) == (True, bool(more))
    client.data_received(GET)
    assert transport.written.count(b"HTTP/1.1 ") == 1
    client.connection_lost(None)


def last_head(client: ClientConnection) -> object:
    return client._heads._meaning


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\0", b"\n", b"\rx"])
def test_a_head_byte_by_byte_is_as_whole_to_its_end(bench: Bench, end: bytes) -> None:
    data = b"GET /x HTTP/1.1\r\nHost: h\r\nX: y" + end
    assert outcome(bench, *(bytes([byte]) for byte in data)) == outcome(bench, data)


def test_a_head_too_long_is_refused_however_it_comes(bench: Bench) -> None:
    start = b"GET /x HTTP/1.1\r\nHost: h\r\nX: "
    for pieces in ([start, *[b"y"] * 500], [start + b"y" * 500], [start, b"y" * 300, b"y" * 300]):
        _, statuses, closed = outcome(bench, *pieces)
        assert (statuses, closed) == ([b"431 Request Header Fields Too Large"], True)


def test_all_of_many_connections_are_looked_at_in_each_sweep() -> None:
    bench = Bench(1, limits=LimitOptions(client_head_timeout_s=0.001))
    context = bench.context
    page = SharedPage.create(1, 1 << 12)
    answers = WorkerAnswers(page.question_board(), 0, context.receipts, context.router, context.fleet)
    clients = [bench.client() for _ in range(SLICE * 3 + 1)]
    gone, transport = clients[-1]
    gone.connection_lost(None)
    bench.turn(0.002)
    Sweeper(context, Membership(), page, answers, None).sweep()
    assert sum(each.closed for _, each in clients) <= SLICE  # the others wait for their slice
    bench.turn(SWEEP_S)
    assert all(each.closed for _, each in clients[:-1])
    assert not transport.closed
    bench.close()


def test_an_idle_connection_lets_its_last_head_go(bench: Bench) -> None:
    client, transport = bench.client()
    bench.idle(0)
    answered(client, transport, bench)
    assert last_head(client) is not None
    client.check_deadline(monotonic() + 5)
    assert last_head(client) is None
    assert client._heads._start == b""
    answered(client, transport, bench)  # and it is read as ever
    client.connection_lost(None)


def test_a_head_too_long_to_keep_is_not_kept() -> None:
    bench = Bench(1)
    client, transport = bench.client()
    bench.idle(0)
    client.data_received(b"GET /x HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 20_000 + b"\r\n\r\n")
    bench.end_turn()
    assert client.exchange is not None
    assert client.exchange.connection is not None
    client.exchange.connection.data_received(ANSWER)
    assert transport.written.startswith(b"HTTP/1.1 200 ")
    assert last_head(client) is None
    client.connection_lost(None)
    bench.close()


def test_an_early_401_says_how_to_do_better(bench: Bench) -> None:
    client, transport = bench.client()
    client.refuse(BadRequest("a valid API key is needed", http_status=401, code="invalid_api_key"))
    assert b"\r\nWWW-Authenticate: Bearer\r\n" in transport.written
