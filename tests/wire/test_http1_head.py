"""Heads: what is read, what is refused, what travels on."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.model.errors import BadRequest, UpstreamError
from steelyard.wire.http1_head import parse_request_head, parse_response_head


def request(*lines: str, start: str = "GET / HTTP/1.1", host: bool = True) -> bytes:
    fields = (["Host: h"] if host else []) + list(lines)
    return "\r\n".join([start, *fields, "", ""]).encode("latin-1")


def test_reads_the_request_line_and_the_framing() -> None:
    head = parse_request_head(request("Content-Length: 12", start="POST /v1/x?y=1 HTTP/1.1"))
    assert (head.method, head.target, head.path) == (b"POST", b"/v1/x?y=1", b"/v1/x")
    assert (head.content_length, head.chunked, head.keep_alive, head.minor_version) == (12, False, True, 1)


@pytest.mark.parametrize(
    ("start", "fields", "keeps"),
    [
        ("GET / HTTP/1.1", (), True),
        ("GET / HTTP/1.1", ("Connection: close",), False),
        ("GET / HTTP/1.0", (), False),
        ("GET / HTTP/1.0", ("Connection: keep-alive",), True),
    ],
)
def test_knows_whether_the_connection_stays(start: str, fields: tuple[str, ...], keeps: bool) -> None:
    assert parse_request_head(request(*fields, start=start)).keep_alive is keeps


def test_hop_by_hop_fields_and_those_that_connection_names_end_here() -> None:
    head = parse_request_head(request("Connection: x-secret, close", "X-Secret: 1", "TE: gzip", "X-Kept: 2"))
    assert head.lines == [b"X-Kept: 2\r\n"]


def test_connection_cannot_name_away_what_the_gateway_adds() -> None:
    head = parse_request_head(request("Connection: x-request-id", "X-Request-Id: abc"))
    assert head.own[b"x-request-id"] == b"abc"


AMBIGUOUS = {
    "both length and coding": request("Content-Length: 3", "Transfer-Encoding: chunked"),
    "two lengths": request("Content-Length: 3", "Content-Length: 3"),
    "a signed length": request("Content-Length: +3"),
    "a list of lengths": request("Content-Length: 3, 3"),
    "a hexadecimal length": request("Content-Length: 0x3"),
    "an overlong length": request("Content-Length: " + "9" * 30),
    "a coding that is not exactly chunked": request("Transfer-Encoding: chunked, gzip"),
    "a coding with a control byte": request("Transfer-Encoding: \x0bchunked"),
    "a coding in HTTP/1.0": request("Transfer-Encoding: chunked", start="POST / HTTP/1.0"),
    "two hosts": request("Host: other"),
    "no host": request(host=False),
    "a folded line": request("X-A: 1\r\n  2"),
    "a bare LF": b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
    "a bare CR": b"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
    "a NUL": request("X-A: a\x00b"),
    "a blank before the colon": request("X-A : 1"),
    "an empty name": request(": 1"),
    "a name that is no token": request("X(A): 1"),
    "a raw byte in the target": request(start="GET /\xff HTTP/1.1"),
    "two blanks in the request line": request(start="GET  / HTTP/1.1"),
    "a target that is no path": request(start="GET x HTTP/1.1"),
}


@pytest.mark.parametrize("head", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_refuses_what_two_readers_could_read_differently(head: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request_head(head)
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: gzip;q=1, chunked", 400),
        ("Expect: 200-ok", 417),
        ("Expect: 100-continue, x", 417),
    ],
)
def test_what_is_understood_and_not_served_has_a_status_of_its_own(fields: str, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request_head(request(fields))
    assert caught.value.http_status == status


@pytest.mark.parametrize("blanks", ["", " ", "\t", " \t \t"])
def test_blanks_behind_a_value_are_no_part_of_it(blanks: str) -> None:
    assert parse_request_head(request(f"Transfer-Encoding: chunked{blanks}")).chunked
    assert parse_request_head(request(f"X: a\tb{blanks}")).lines[0].rstrip(b" \t\r\n") == b"X: a\tb"
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: 3{blanks}\r\n\r\n".encode()
    assert parse_response_head(answer).content_length == 3


def test_many_blanks_cost_no_more_than_they_are_long() -> None:
    head = request("X: a" + " " * 30_000 + "b\t")
    started_s = process_time()
    assert parse_request_head(head).lines[0].endswith(b" b\r\n")
    assert process_time() - started_s < 0.2


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2"])
def test_refuses_other_versions(version: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request_head(request(start=f"GET / {version}"))
    assert caught.value.http_status in (400, 505)


def test_refuses_too_many_fields_with_431() -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request_head(request(*(f"X-{n}: 1" for n in range(20))), max_fields=10)
    assert caught.value.http_status == 431


@given(st.binary(max_size=200))
def test_any_bytes_give_a_head_or_a_refusal(data: bytes) -> None:
    refusal = None
    try:
        parse_request_head(data + b"\r\n\r\n")
    except BadRequest as error:
        refusal = error
    assert refusal is None or refusal.http_status in (400, 417, 431, 501, 505)


def response(*lines: str, start: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([start, *lines, "", ""]).encode("latin-1")


def test_reads_a_response() -> None:
    head = parse_response_head(response("Content-Type: text/event-stream; charset=utf-8", "Retry-After: 7"))
    assert (head.status, head.event_stream, head.retry_after, head.content_length) == (200, True, b"7", -1)


@pytest.mark.parametrize(
    ("fields", "readable"),
    [
        ("Content-Type: text/event-stream", True),
        ("content-type:\tText/Event-Stream;charset=utf-8", True),
        ("Content-Type: text/event-stream ; x=y\r\nContent-Encoding: identity", True),
        ("Content-Type: text/event-streams", False),
        ("Content-Type: text/event-stream\r\nContent-Encoding: gzip", False),
        ("X-Content-Type: text/event-stream", False),
    ],
)
def test_events_are_read_of_event_streams_only(fields: str, readable: bool) -> None:
    assert parse_response_head(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode()).event_stream is readable


@pytest.mark.parametrize(
    "head",
    [
        response("Content-Length: 3", "Transfer-Encoding: chunked"),
        response("Content-Length: -1"),
        response("Content-Length: 1", "Content-Length: 2"),
        response("Transfer-Encoding: identity"),
        response(start="HTTP/2 200 OK"),
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_an_engine_is_held_to_the_same_strictness(head: bytes) -> None:
    with pytest.raises(UpstreamError):
        parse_response_head(head)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        (b"X-Request-Timeout-Ms: 1500", 1.5),
        (b"x-envoy-expected-rq-timeout-ms: 200\r\nX-Request-Timeout-Ms: 1500", 0.2),
        (b"X-Request-Timeout-Ms: 0", 0.0),
        (b"X-Request-Timeout-Ms: -5", 0.0),
        (b"X-Request-Timeout-Ms: 1e3", 0.0),
        (b"X-Request-Timeout-Ms: 99999999999999999999", 0.0),
    ],
)
def test_how_long_a_client_waits(fields: bytes, seconds: float) -> None:
    head = parse_request_head(b"GET / HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n" % fields)
    assert head.timeout_s == seconds
    assert len(head.lines) == fields.count(b":")  # an engine may make use of it, too


TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
IN_VALUES = frozenset((9, *range(0x20, 0x7F), *range(0x80, 0x100)))
IN_HOSTS = frozenset(b"!$&'()*+;=-._~") | {byte for byte in range(128) if chr(byte).isalnum()}


def is_served(head: bytes) -> bool:
    try:
        parse_request_head(head)
    except BadRequest:
        return False
    return True


@pytest.mark.parametrize(
    ("start", "end", "good"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nX", b"Y: z\r\n\r\n", TOKEN | {ord(":")}),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a", b"b\r\n\r\n", IN_VALUES),
        (b"GET /a", b"b HTTP/1.1\r\nHost: h\r\n\r\n", frozenset(range(0x21, 0x7F)) - {ord("#")}),
        (b"GET / HTTP/1.1\r\nHost: a", b"b\r\n\r\n", IN_HOSTS),
        (b"GET / HTTP/1.", b"\r\nHost: h\r\n\r\n", frozenset(b"01")),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5", b"\r\n\r\n", frozenset(b"0123456789 \t")),
        (b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:", b"chunked\r\n\r\n", frozenset(b" \t")),
        (b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked", b"\r\n\r\n", frozenset(b" \t")),
        (b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding", b": chunked\r\n\r\n", TOKEN),
    ],
    ids=["name", "value", "target", "host", "version", "length", "before", "behind", "name-end"],
)
def test_every_byte_is_let_through_or_refused_where_it_stands(
    start: bytes, end: bytes, good: frozenset[int]
) -> None:
    served = {byte for byte in range(256) if is_served(start + bytes([byte]) + end)}
    assert served == good
