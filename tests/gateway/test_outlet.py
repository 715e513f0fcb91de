"""What is written in one turn of the loop leaves at its end; only the first goes at once."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from tests.harness.in_process import Bench
from tests.harness.raw_client import post

from steelyard.gateway.outlet import MOST_BYTES, MOST_SENDERS, Outbox, Outlet

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
OPTIONS = b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nengine"


class Wire(asyncio.Transport):
    """Notes what is written to it; fails at that when told to."""

    def __init__(self, seen: list[bytes], *, fails: bool = False) -> None:
        super().__init__()
        self.seen, self.fails = seen, fails

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.seen.append(bytes(data))
        if self.fails:
            raise RuntimeError("the handle is closed")


def under_way(outbox: Outbox) -> Outbox:
    """One in whose turn somebody has written already."""
    Outlet(Wire([]), outbox).write(b"first")
    return outbox


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(1)
    under_way(made.context.outbox)
    yield made
    made.close()


def test_the_first_of_a_turn_leaves_at_once() -> None:
    turns: list[Callable[[], None]] = []
    seen: list[bytes] = []
    outbox = Outbox(turns.append)
    for number in range(3):
        Outlet(Wire(seen), outbox).write(b"%d" % number)
    assert seen == [b"0"]
    turns.pop()()
    assert seen == [b"0", b"1", b"2"]
    Outlet(Wire(seen), outbox).write(b"next")
    assert seen[3:] == [b"next"]
    assert len(turns) == 1


def test_all_leave_at_the_end_of_the_turn_in_their_order() -> None:
    turns: list[Callable[[], None]] = []
    seen: list[bytes] = []
    outbox = under_way(Outbox(turns.append))
    first, second = (Outlet(Wire(seen), outbox) for _ in range(2))
    first.write(b"1")
    second.write(b"2")
    first.write(b"1")
    assert (seen, len(turns)) == ([], 1)
    turns[0]()
    assert seen == [b"11", b"2"]
    turns[0]()
    assert seen == [b"11", b"2"]


def test_one_that_fails_keeps_no_other_back() -> None:
    turns: list[Callable[[], None]] = []
    seen: list[bytes] = []
    outbox = under_way(Outbox(turns.append))
    for number in range(4):
        Outlet(Wire(seen, fails=number == 1), outbox).write(b"%d" % number)
    turns.pop()()
    assert seen == [b"0", b"1", b"2", b"3"]
    with pytest.raises(RuntimeError):
        turns.pop()()
    assert not turns


def test_who_adds_the_last_is_not_to_blame_for_another_that_fails() -> None:
    turns: list[Callable[[], None]] = []
    outbox = under_way(Outbox(turns.append))
    for number in range(MOST_SENDERS):
        Outlet(Wire([], fails=number < 2), outbox).write(b"x")
    assert len(turns) == 3


def test_many_leave_before_the_turn_is_over() -> None:
    seen: list[bytes] = []
    outbox = under_way(Outbox(lambda _: None))
    for number in range(MOST_SENDERS):
        assert not seen
        Outlet(Wire(seen), outbox).write(b"%d" % number)
    assert len(seen) == MOST_SENDERS


def test_what_is_written_now_overtakes_nothing() -> None:
    seen: list[bytes] = []
    outlet = Outlet(Wire(seen), under_way(Outbox(lambda _: None)))
    outlet.write(b"first")
    outlet.write_now(b"second")
    assert seen == [b"first", b"second"]


def test_answers_of_one_turn_leave_in_the_order_of_their_requests(bench: Bench) -> None:
    engine, _ = bench.idle(0)
    client, transport = bench.client()
    client.data_received(OPTIONS + GET + OPTIONS)
    bench.end_turn()
    engine.data_received(ANSWER)
    statuses = [part[:3] for part in transport.written.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"200", b"200"]
    assert transport.written.index(b"engine") > transport.written.index(b"HTTP/1.1 200")
    assert transport.written.count(b"Allow: ") == 2
    assert not transport.written.endswith(b"engine")
    client.connection_lost(None)


@pytest.mark.parametrize("last", [b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"\0\r\n\r\n"])
def test_a_connection_that_ends_writes_before_it_is_closed(bench: Bench, last: bytes) -> None:
    engine, _ = bench.idle(0)
    client, transport = bench.client()
    client.data_received(OPTIONS + last)
    bench.end_turn()
    if client.exchange is not None:
        engine.data_received(ANSWER)
    assert transport.closed
    assert transport._written.count(b"HTTP/1.1 ") == 2
    client.connection_lost(None)


def test_a_client_that_has_sent_all_is_answered_before_asyncio_closes_it(bench: Bench) -> None:
    client, transport = bench.client()
    client.data_received(OPTIONS)
    assert not client.eof_received()
    assert transport._written.startswith(b"HTTP/1.1 200 ")
    client.connection_lost(None)


def test_a_request_whose_client_leaves_in_the_same_turn_is_never_sent(bench: Bench) -> None:
    _, engine = bench.idle(0)
    client, _ = bench.client()
    client.data_received(post("/v1/chat/completions"))
    client.connection_lost(None)
    assert engine.closed
    assert not engine.written


def test_what_comes_before_a_request_has_left_is_no_answer_to_it(bench: Bench) -> None:
    connection, engine = bench.idle(0)
    connection.answered = 1
    client, transport = bench.client()
    client.data_received(GET)
    connection.data_received(ANSWER)
    assert engine.closed
    assert not engine.written
    assert not transport.written
    exchange = client.exchange
    assert exchange is not None
    assert exchange.connecting is not None  # it is asked on a fresh connection
    client.connection_lost(None)


def test_a_client_that_sends_much_at_once_is_written_to_before_the_turn_is_over(bench: Bench) -> None:
    client, transport = bench.client()
    client.data_received(OPTIONS)
    one = len(transport.written)
    client.data_received(OPTIONS * (MOST_BYTES // one + 2))
    assert len(transport._written) > MOST_BYTES
    client.connection_lost(None)
