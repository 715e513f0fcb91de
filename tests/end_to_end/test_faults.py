"""What a client sees of each fault of an engine, and that nothing else is harmed by it.

Each test ends with a plain request that must succeed: a fault is one request's, never the next one's.
"""

import json
import time

import pytest
from tests.end_to_end.fault_fleet import FaultFleet
from tests.harness.chaos_engine import (
    GOOD_BODY,
    JSON_HEAD,
    Behaviour,
    Received,
    good,
    in_turn,
    says,
    says_and_hangs,
    says_and_resets,
)
from tests.harness.raw_client import Answer, ask, post

CHAT = "/v1/chat/completions"


def error_of(answer: Answer) -> str:
    """The message of an error in OpenAI's shape."""
    return str(json.loads(answer.body)["error"]["message"])


# --- before the head: rows 1 to 9 and 16 to 19 ---------------------------------------------------


@pytest.mark.parametrize("path", ["/halfrefused", "/halfsilent"])
def test_an_engine_that_cannot_be_reached_is_stepped_over(fleet: FaultFleet, path: str) -> None:
    for _ in range(2):  # round robin: at least one of two begins at the dead one
        started_s = time.monotonic()
        answer = ask(fleet.url, post(path + CHAT))
        assert (answer.status, answer.body) == (200, GOOD_BODY)
        assert time.monotonic() - started_s < 2


@pytest.mark.parametrize("path", ["/refused", "/silent"])
def test_when_no_engine_can_be_reached_the_client_is_told_when_to_come_back(
    fleet: FaultFleet, path: str
) -> None:
    answer = ask(fleet.url, post(path + CHAT))
    assert answer.status in (502, 503)
    assert answer.whole
    assert "connect" in error_of(answer)
    assert int(answer.value("retry-after") or "0") >= 1


DIES_BEFORE_AN_ANSWER: dict[str, Behaviour] = {
    "closed before the head": says(),
    "reset before the head": says_and_resets(),
    "half a status line": says(b"HTTP/1.1 20"),
    "half a head": says(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "garbage": says(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is another protocol\r\n\r\n"),
    "another protocol": says(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
    "http 0.9": says(b"<html>hello</html>\r\n\r\n"),
}


@pytest.mark.parametrize("fault", DIES_BEFORE_AN_ANSWER.values(), ids=DIES_BEFORE_AN_ANSWER)
def test_an_engine_that_dies_before_its_answer(fleet: FaultFleet, fault: Behaviour) -> None:
    fleet.one.behaviour = fault
    alone = fleet.ask_one()
    assert (alone.status, alone.whole) == (502, True)
    assert error_of(alone)
    seen = fleet.first_of_two(fault)
    elsewhere = ask(fleet.url, post("/two" + CHAT))
    assert (elsewhere.status, elsewhere.body) == (200, GOOD_BODY)
    assert len(seen) == 2
    assert seen[0].body == seen[1].body


def test_a_reset_on_a_reused_connection_is_no_error(fleet: FaultFleet) -> None:
    fleet.one.behaviour = good
    assert fleet.ask_one().status == 200  # leaves an idle connection behind
    first = fleet.one.requests[-1].connection
    fleet.one.behaviour = in_turn(says_and_resets(), good)
    answer = fleet.ask_one()
    assert (answer.status, answer.body) == (200, GOOD_BODY)
    assert fleet.one.requests[-1].connection > first


def test_no_head_in_time_is_a_504(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says_and_hangs()
    started_s = time.monotonic()
    answer = fleet.ask_one()
    assert (answer.status, answer.whole) == (504, True)
    assert 0.9 <= time.monotonic() - started_s < 3


TWISTED_HEADS = {
    "two lengths": b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "two equal lengths": b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": b"Content-Length: 3, 3\r\n\r\nabc",
    "negative length": b"Content-Length: -1\r\n\r\nabc",
    "signed length": b"Content-Length: +3\r\n\r\nabc",
    "length beyond all integers": b"Content-Length: 99999999999999999999\r\n\r\nabc",
    "length and chunked": b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"Transfer-Encoding: gzip\r\n\r\nabc",
    "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "xchunked": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before the colon": b"Content-Length : 3\r\n\r\nabc",
    "folded line": b"X-A: b\r\n c\r\nContent-Length: 3\r\n\r\nabc",
    "bare LF": b"X-A: b\nContent-Length: 3\r\n\r\nabc",
    "bare LF everywhere": b"Content-Length: 3\n\nabc",
    "bare CR": b"X-A: b\rc\r\nContent-Length: 3\r\n\r\nabc",
    "NUL": b"X-A: b\0c\r\nContent-Length: 3\r\n\r\nabc",
    "empty name": b": b\r\nContent-Length: 3\r\n\r\nabc",
    "name that is no token": b"X(A): b\r\nContent-Length: 3\r\n\r\nabc",
    "line without a colon": b"nonsense\r\nContent-Length: 3\r\n\r\nabc",
}


@pytest.mark.parametrize("fields", TWISTED_HEADS.values(), ids=TWISTED_HEADS)
def test_a_head_that_could_be_read_in_two_ways_is_a_502(fleet: FaultFleet, fields: bytes) -> None:
    fleet.one.behaviour = says(b"HTTP/1.1 200 OK\r\n" + fields, stays=True)
    answer = fleet.ask_one()
    assert (answer.status, answer.whole) == (502, True)
    spoiled = fleet.one.requests[-1].connection
    fleet.one.behaviour = good
    assert fleet.ask_one().status == 200
    assert fleet.one.requests[-1].connection != spoiled


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.2 200 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 abc OK", b"HTTP/1.1 099 OK",
        b"http/1.1 200 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"HTTP/11 200 OK", b"HTTP/1.1200 OK",
        b" HTTP/1.1 200 OK",
        b"HTTP/2.0 200 OK", b"HTTP/0.9 200 OK",
        b"HTTP/1.1 700 OK",
    ],
)  # fmt: skip
def test_a_status_line_that_is_none_is_a_502(fleet: FaultFleet, start: bytes) -> None:
    fleet.one.behaviour = says(start + b"\r\nContent-Length: 3\r\n\r\nabc")
    answer = fleet.ask_one()
    assert (answer.status, answer.whole) == (502, True)


@pytest.mark.parametrize("head", [b"X: " + b"y" * 300_000, b"X: y\r\n" * 50_000], ids=["line", "fields"])
def test_a_giant_head_is_a_502_and_never_kept(fleet: FaultFleet, head: bytes) -> None:
    fleet.one.behaviour = says_and_hangs(b"HTTP/1.1 200 OK\r\n", head)
    answer = fleet.ask_one()
    assert (answer.status, answer.whole) == (502, True)


@pytest.mark.parametrize("rest", [b"", b"\x81\x05hello"])
def test_an_unasked_change_of_protocol_is_a_502(fleet: FaultFleet, rest: bytes) -> None:
    fleet.one.behaviour = says_and_hangs(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + rest
    )
    answer = fleet.ask_one(post("/one" + CHAT, b"{}", "Upgrade: websocket", "Connection: Upgrade"))
    assert (answer.status, answer.whole) == (502, True)


@pytest.mark.parametrize(
    "before",
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n",),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",),
        (b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n",),
        (b"HTTP/1.1 10", b"0 Continue\r\n", b"\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20,),
    ],
)
def test_interim_answers_leave_the_final_one_intact(fleet: FaultFleet, before: tuple[bytes, ...]) -> None:
    whole = b"%bContent-Length: %d\r\n\r\n%b" % (JSON_HEAD, len(GOOD_BODY), GOOD_BODY)
    fleet.one.behaviour = says(*before, whole, stays=True)
    answer = fleet.ask_one()
    assert (answer.status, answer.body, answer.whole) == (200, GOOD_BODY, True)


def test_endless_interim_answers_are_a_failure_and_not_a_wait(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says_and_hangs(b"HTTP/1.1 102 Processing\r\n\r\n" * 3)
    assert fleet.ask_one().status == 504


def test_an_engines_error_is_passed_on(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says(
        b"HTTP/1.1 500 Oops\r\nX-Detail: a\r\nContent-Length: 4\r\n\r\noops", stays=True
    )
    answer = fleet.ask_one()
    assert (answer.status, answer.body, answer.value("x-detail")) == (500, b"oops", "a")


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"503 Service Unavailable"])
def test_a_busy_engines_request_goes_to_another_or_its_answer_is_passed_on(
    fleet: FaultFleet, status: bytes
) -> None:
    busy = says(b"HTTP/1.1 %b\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy" % status, stays=True)
    seen = fleet.first_of_two(busy)
    answer = ask(fleet.url, post("/two" + CHAT))
    assert (answer.status, answer.body, len(seen)) == (200, GOOD_BODY, 2)
    for engine in fleet.two:
        engine.behaviour = busy
    answer = ask(fleet.url, post("/two" + CHAT))
    assert (answer.status, answer.body, answer.value("retry-after")) == (int(status[:3]), b"busy", "7")


@pytest.mark.parametrize("status", [b"400", b"401", b"404", b"422"])
def test_a_callers_mistake_is_never_tried_again(fleet: FaultFleet, status: bytes) -> None:
    seen = fleet.first_of_two(says(b"HTTP/1.1 %b No\r\nContent-Length: 2\r\n\r\nno" % status, stays=True))
    answer = ask(fleet.url, post("/two" + CHAT))
    assert (answer.status, answer.body, len(seen)) == (int(status), b"no", 1)


# --- row 36, and what came of all this -----------------------------------------------------------


def test_an_engine_replaced_on_its_address_is_used_at_once(fleet: FaultFleet) -> None:
    assert fleet.ask_one().status == 200
    fleet.one.die()
    assert fleet.ask_one().status in (502, 503)
    fleet.one.revive()
    assert fleet.ask_one().status == 200


def test_the_engine_gets_a_head_that_is_written_anew(fleet: FaultFleet) -> None:
    received: list[Received] = []

    def keep(client: object, request: Received) -> bool:
        received.append(request)
        return good(client, request)  # type: ignore[arg-type]  # a behaviour is any callable

    fleet.one.behaviour = keep
    assert (
        fleet.ask_one(post("/one" + CHAT, b"{}", "X-Mine: 1", "Connection: x-mine", "TE: trailers")).status
        == 200
    )
    (request,) = received
    assert request.values("x-mine") == request.values("te") == []
    assert request.values("connection") in ([], ["keep-alive"])
    assert request.values("content-length") == ["2"]
