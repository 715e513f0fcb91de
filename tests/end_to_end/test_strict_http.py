"""Strict HTTP towards clients: what is refused, what is served, and what travels on to an engine."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.end_to_end.fault_fleet import FaultFleet, pool
from tests.end_to_end.strict_vectors import HOPELESS, REFUSED, SERVED
from tests.harness.chaos_engine import (
    GOOD_BODY,
    JSON_HEAD,
    LAST_CHUNK,
    STREAM_HEAD,
    Received,
    chaos_engines,
    content_events,
    good,
    says,
)
from tests.harness.processes import configured_gateway
from tests.harness.raw_client import Answer, ask, connected, post, read_answer

SMUGGLED = b"GET /one/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
def fleet(faults: FaultFleet) -> Iterator[FaultFleet]:
    """The engines stay calm: only requests are strange here."""
    faults.calm()
    yield faults
    faults.calm()


def wire(text: str) -> bytes:
    return text.replace("@", "\r\n").replace("\ue000", "@").encode("latin-1")


def exchange(fleet: FaultFleet, data: bytes) -> tuple[list[Answer], bool]:
    """(the answers to some bytes, whether the gateway closed the connection of itself)."""
    answers: list[Answer] = []
    with connected(fleet.url, timeout_s=1.5) as stream:
        try:
            stream.sendall(data)
        except ConnectionError:
            pass
        ahead = b""
        while True:
            try:
                answer = read_answer(stream, ahead)
            except TimeoutError:
                return answers, False
            if not answer.status:
                return answers, True
            answers.append(answer)
            ahead = answer.rest


@pytest.mark.parametrize(("text", "statuses"), REFUSED.values(), ids=REFUSED)
def test_what_two_readers_could_read_differently_is_refused(
    fleet: FaultFleet, text: str, statuses: tuple[int, ...]
) -> None:
    fleet.calm()
    answers, closed = exchange(fleet, wire(text) + SMUGGLED)
    assert closed
    assert len(answers) == 1
    assert answers[0].status in statuses
    assert answers[0].whole
    assert answers[0].value("connection") == "close"
    assert fleet.one.requests == []


@pytest.mark.parametrize("text", HOPELESS.values(), ids=HOPELESS)
def test_what_can_no_longer_become_a_request_is_not_waited_for(fleet: FaultFleet, text: str) -> None:
    answers, closed = exchange(fleet, wire(text))
    assert closed
    assert [each.status for each in answers] in ([400], [501], [505])  # 408 would be the end of a wait


@pytest.mark.parametrize(
    "head",
    [
        "POST /one/x HTTP/1.1@Host: h@Content-Length: 8000000@@",
        "POST /one/x HTTP/1.1@Host: h@Transfer-Encoding: chunked@@x@",
        "GET /one/x HTTP/1.1@Host: h@X: ",
    ],
)
def test_a_client_in_mid_upload_can_send_on_and_read_why_it_was_refused(fleet: FaultFleet, head: str) -> None:
    with connected(fleet.url) as stream:
        stream.sendall(wire(head))
        for _ in range(80):
            stream.sendall(b"x" * 100_000)  # a reset would end this
        answer = read_answer(stream)
        assert answer.status in (400, 413, 431, 414)
        assert answer.whole
        assert stream.recv(1) == b""


@pytest.mark.parametrize("text", SERVED.values(), ids=SERVED)
def test_what_the_standard_allows_is_served(fleet: FaultFleet, text: str) -> None:
    fleet.calm()
    with connected(fleet.url) as stream:
        stream.sendall(wire(text))
        answer = read_answer(stream)
        assert (answer.status, answer.body, answer.whole) == (200, GOOD_BODY, True)
        # The connection stays usable, and the next request begins where this one ended.
        stream.sendall(post("/one/next"))
        assert read_answer(stream).status == 200
    first, second = fleet.one.requests
    assert second.path == b"/one/next"
    assert first.path.startswith(b"/one/")
    assert b"\n" not in first.head.replace(b"\r\n", b"")


@pytest.mark.parametrize("text", [text for name, text in SERVED.items() if "body" not in name], ids=str)
def test_it_makes_no_difference_how_a_request_is_cut_into_pieces(fleet: FaultFleet, text: str) -> None:
    fleet.calm()
    if len(text) > 300:
        pytest.skip("long ones take long byte by byte")
    whole = ask(fleet.url, wire(text))
    with connected(fleet.url) as stream:
        for byte in wire(text):
            stream.sendall(bytes([byte]))
        answer = read_answer(stream)
    assert (answer.status, answer.body) == (whole.status, whole.body)
    first, second = fleet.one.requests
    assert strip_ids(first) == strip_ids(second)


def strip_ids(request: Received) -> tuple[bytes, bytes]:
    return re.sub(rb"(?i)x-request-id: [^\r]*", b"", request.head), request.body


def test_an_old_client_is_served_and_its_connection_closed(fleet: FaultFleet) -> None:
    answers, closed = exchange(fleet, b"GET /one/x HTTP/1.0\r\n\r\n")
    assert closed
    assert (answers[0].status, answers[0].body) == (200, GOOD_BODY)
    with connected(fleet.url) as stream:
        for _ in range(2):
            stream.sendall(b"GET /one/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = read_answer(stream)
            assert (answer.status, answer.value("transfer-encoding")) == (200, None)
            if (answer.value("connection") or "").lower() != "keep-alive":
                break


def test_an_old_client_gets_a_streams_payload_without_chunks(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n",
        stays=True,
    )
    answers, closed = exchange(fleet, b"GET /one/x HTTP/1.0\r\n\r\n")
    assert closed
    assert (answers[0].body, answers[0].value("transfer-encoding")) == (b"hello world", None)
    fleet.calm()


def test_head_has_the_head_of_get_and_no_body(fleet: FaultFleet) -> None:
    length = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nX-A: b\r\n\r\n"
    fleet.one.behaviour = says(length, stays=True)
    with connected(fleet.url) as stream:
        stream.sendall(b"HEAD /one/x HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = read_answer(stream, head_request=True)
        assert (answer.status, answer.value("content-length"), answer.rest) == (200, "100", b"")
        fleet.one.behaviour = good
        stream.sendall(post("/one/x"))
        assert read_answer(stream).body == GOOD_BODY
    fleet.calm()


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("HEAD /one/x HTTP/1.1@@", 400),
        ("HEAD /one/x HTTP/1.1@Host: h@Expect: x@@", 417),
        ("HEAD /one/x HTTP/1.1@Host: h@Content-Length: 200001@@", 413),
        ("HEAD /one/x HTTP/1.1@Host: h@Transfer-Encoding: chunked@@x@", 400),
        ("HEAD /nowhere HTTP/1.1@Host: h@Connection: close@@", 404),
        ("HEAD /one/v1/models HTTP/1.1@Host: h@Connection: close@@", 200),
        ("HEAD /refused/x HTTP/1.1@Host: h@Connection: close@@", 502),
    ],
)
def test_head_has_no_body_whatever_the_answer(fleet: FaultFleet, text: str, status: int) -> None:
    with connected(fleet.url) as stream:
        stream.sendall(wire(text))
        answer = read_answer(stream, head_request=True)
        assert answer.status == status
        assert int(answer.value("content-length") or "-1") > 0
        assert answer.rest + stream.recv(1) == b""


def test_pipelined_requests_are_answered_in_order_and_whole(fleet: FaultFleet) -> None:
    def echo(client: object, request: Received) -> bool:
        body = request.path
        client.sendall(b"%bContent-Length: %d\r\n\r\n%b" % (JSON_HEAD, len(body), body))  # type: ignore[attr-defined]  # a socket
        return True

    fleet.one.behaviour = echo
    data = b"".join(b"GET /one/%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(20))
    with connected(fleet.url) as stream:
        stream.sendall(data + b"GET /one/last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        ahead, bodies = b"", []
        for _ in range(21):
            answer = read_answer(stream, ahead)
            ahead = answer.rest
            bodies.append(answer.body)
        assert stream.recv(1) == b""
    assert bodies == [b"/one/%d" % number for number in range(20)] + [b"/one/last"]
    fleet.calm()


HOP = [
    "Connection: x-hop, close",
    "X-Hop: secret",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic eA==",
    "TE: trailers",
    "Trailer: X-T",
    "Upgrade: h2c",
]


def test_what_belongs_to_one_hop_stays_on_it(fleet: FaultFleet) -> None:
    fleet.calm()
    fields = "".join(f"{field}\r\n" for field in HOP)
    assert (
        ask(fleet.url, f"GET /one/x HTTP/1.1\r\nHost: h\r\n{fields}X-Stays: 1\r\n\r\n".encode()).status == 200
    )
    (request,) = fleet.one.requests
    for name in (
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
    ):
        assert request.values(name) == [], name
    assert request.values("x-stays") == ["1"]


def test_the_engines_own_hop_fields_stay_there(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says(
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: X-T\r\nX-Stays: 1\r\n"
        b"Content-Length: 2\r\n\r\nok",
        stays=True,
    )
    answer = ask(fleet.url, post("/one/x"))
    for name in ("x-hop", "keep-alive", "proxy-authenticate", "upgrade", "trailer"):
        assert answer.value(name) is None, name
    assert (answer.value("x-stays"), answer.body) == ("1", b"ok")
    fleet.calm()


def test_a_connection_field_cannot_remove_what_the_gateway_adds(fleet: FaultFleet) -> None:
    fleet.calm()
    named = "Connection: X-Forwarded-For, X-Request-Id, Host, Content-Length"
    assert ask(fleet.url, post("/one/x", b"{}", named)).status in (200, 400)
    for request in fleet.one.requests:
        assert request.values("x-forwarded-for") == ["127.0.0.1"]
        assert len(request.values("host")) == len(request.values("x-request-id")) == 1
        assert request.values("content-length") == ["2"]


def test_what_a_stranger_says_of_where_it_came_from_is_not_believed(fleet: FaultFleet) -> None:
    fleet.calm()
    lies = (
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil",
        "X-Real-IP: 10.0.0.1",
        "Forwarded: for=10.0.0.1",
        "X-Forwarded-Port: 1001",
        "X-Forwarded-Prefix: /evil",
        "X_Forwarded_For: 10.0.0.1",
        "X-Forwarded_Host: evil",
    )
    assert ask(fleet.url, post("/one/x", b"{}", *lies)).status == 200
    (request,) = fleet.one.requests
    assert request.values("x-forwarded-for") == ["127.0.0.1"]
    assert request.values("forwarded") == ["for=127.0.0.1;proto=http"]
    assert b"10.0.0.1" not in request.head
    assert b"evil" not in request.head
    assert request.values("x-forwarded-port") == []


def test_no_field_goes_on_that_another_reader_could_take_for_framing(fleet: FaultFleet) -> None:
    fleet.calm()
    lookalikes = ("Content_Length: 7", "Transfer_Encoding: chunked", "content-Length_: 3", "My_Field: stays")
    assert ask(fleet.url, post("/one/x", b"{}", *lookalikes)).status == 200
    (request,) = fleet.one.requests
    assert request.body == b"{}"
    assert b"Content_Length" not in request.head
    assert b"Transfer_Encoding" not in request.head
    assert request.values("my_field") == ["stays"]


def test_a_proxy_that_the_operator_named_is_believed(tmp_path: Path) -> None:
    with (
        chaos_engines(good) as (engine,),
        configured_gateway(
            tmp_path, 'workers = 1\ntrusted_proxies = ["127.0.0.0/8"]\n' + pool("one", engine.url)
        ) as front,
    ):
        said = (
            "X-Forwarded-For: 10.0.0.1",
            "X-Forwarded-Proto: https",
            "Forwarded: for=10.0.0.1",
            "X-Forwarded-Port: 444",
        )
        assert ask(front.addresses["gateway"], post("/one/x", b"{}", *said)).status == 200
        (request,) = engine.requests
        assert request.values("x-forwarded-for") == ["10.0.0.1, 127.0.0.1"]
        assert request.values("x-forwarded-proto") == ["https"]
        assert request.values("x-forwarded-port") == ["444"]
        assert request.values("forwarded") == ["for=10.0.0.1, for=127.0.0.1;proto=http"]


DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


def test_every_answer_has_one_date(fleet: FaultFleet) -> None:
    fleet.calm()
    said = "Wed, 21 Oct 2015 07:28:00 GMT"
    for data in (post("/one/x"), post("/nowhere"), b"GET /one/x HTTP/1.1\r\n\r\n"):
        assert DATE.fullmatch(ask(fleet.url, data).value("date") or "")
    fleet.one.behaviour = says(STREAM_HEAD + content_events("a") + LAST_CHUNK, stays=True)
    assert DATE.fullmatch(ask(fleet.url, post("/one/x")).value("date") or "")
    fleet.one.behaviour = says(
        b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Length: 2\r\n\r\nok" % said.encode(), stays=True
    )
    assert ask(fleet.url, post("/one/x")).value("date") == said
    fleet.calm()


def test_the_way_that_a_request_came_is_written_down(fleet: FaultFleet) -> None:
    fleet.calm()
    ask(fleet.url, post("/one/x", b"{}", "Via: 1.0 before"))
    ask(fleet.url, b"GET /one/x HTTP/1.0\r\n\r\n")
    first, second = fleet.one.requests
    assert first.values("via") == ["1.0 before", "1.1 steelyard"]
    assert second.values("via") == ["1.0 steelyard"]


@pytest.mark.parametrize(
    "line", ["OPTIONS * HTTP/1.1", "OPTIONS http://h HTTP/1.1", "OPTIONS /one/x HTTP/1.1\r\nMax-Forwards: 0"]
)
def test_options_of_the_gateway_itself_are_answered_by_it(fleet: FaultFleet, line: str) -> None:
    fleet.calm()
    with connected(fleet.url) as stream:
        head = f"{line}\r\nHost: h\r\n"
        stream.sendall(f"{head}\r\n{head}Content-Length: 2\r\n\r\n".encode())
        stream.sendall(b"{}" + post("/one/next"))
        ahead = b""
        for _ in range(2):
            answer = read_answer(stream, ahead)
            ahead = answer.rest
            assert (answer.status, answer.body, answer.whole) == (200, b"", True)
            assert "POST" in (answer.value("allow") or "")
        assert read_answer(stream, ahead).body == GOOD_BODY
    assert [each.path for each in fleet.one.requests] == [b"/one/next"]


def test_options_with_forwards_left_go_on_with_one_less(fleet: FaultFleet) -> None:
    fleet.calm()
    assert ask(fleet.url, b"OPTIONS /one/x HTTP/1.1\r\nHost: h\r\nMax-Forwards: 3\r\n\r\n").status == 200
    assert ask(fleet.url, b"GET /one/x HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n").status == 200
    first, second = fleet.one.requests
    assert (first.values("max-forwards"), second.values("max-forwards")) == (["2"], ["0"])


def test_an_engines_trailers_are_dropped(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
        stays=True,
    )
    with connected(fleet.url) as stream:
        stream.sendall(post("/one/x"))
        answer = read_answer(stream)
        assert (answer.body, answer.whole, answer.rest) == (b"ok", True, b"")
    fleet.calm()
