"""What a client sees when an answer breaks after its head: rows 10 to 15 of the table."""

import json
import threading
import time

import pytest
from tests.end_to_end.fault_fleet import FaultFleet
from tests.harness.chaos_engine import (
    GOOD_BODY,
    JSON_HEAD,
    LAST_CHUNK,
    STREAM_HEAD,
    chunked,
    content_events,
    says,
    says_and_hangs,
    says_and_resets,
    says_and_tells,
    stream_of,
)
from tests.harness.raw_client import ask, connected, post, read_answer, stream_post

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("ends", [says, says_and_resets])
def test_a_body_shorter_than_its_length_is_never_padded(fleet: FaultFleet, ends: object) -> None:
    fleet.one.behaviour = ends(JSON_HEAD + b"Content-Length: 100\r\n\r\n", b'{"half":')  # type: ignore[operator]  # a behaviour is any callable
    answer = fleet.ask_one()
    # Nothing or a cut answer, or an honest error, but never what looks whole.
    assert (answer.status, answer.whole) in ((200, False), (0, False), (502, True))


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"5\r\nab",
        b"5\r\nabcde",
        b"5\r\nabcdeXX",
        b"g\r\n",
        b"-1\r\n",
        b"0\r\n",
        b"5;a\nb\r\n",
        b"5 \r\n",
    ],
)
def test_a_broken_chunk_cuts_the_answer(fleet: FaultFleet, rest: bytes) -> None:
    head = JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    fleet.one.behaviour = says(head + chunked(b"first"), rest)
    answer = fleet.ask_one()
    assert (answer.status, answer.whole) in ((200, False), (0, False), (502, True))
    if answer.status == 200:
        assert b"first".startswith(answer.body[:5])


@pytest.mark.parametrize("ends", [says, says_and_resets, says_and_hangs])
def test_a_stream_that_dies_before_its_first_token_starts_elsewhere(fleet: FaultFleet, ends: object) -> None:
    seen = fleet.first_of_two(ends(STREAM_HEAD))  # type: ignore[operator]  # a behaviour is any callable
    answer = ask(fleet.url, stream_post("/two" + CHAT))
    assert (answer.status, answer.whole, len(seen)) == (200, True, 2)


@pytest.mark.parametrize("ends", [says, says_and_resets, says_and_hangs])
def test_a_stream_cut_after_tokens_ends_in_an_error_event_and_never_looks_whole(
    fleet: FaultFleet, ends: object
) -> None:
    fleet.one.behaviour = ends(STREAM_HEAD + content_events("one ", "two "))  # type: ignore[operator]  # a behaviour is any callable
    answer = fleet.ask_one(stream_post("/one" + CHAT))
    assert (answer.status, answer.whole) == (200, False)
    events = answer.body.split(b"\n\n")
    assert b"one " in events[0]
    assert b"two " in events[1]
    assert json.loads(events[-2].removeprefix(b"data: "))["error"]["type"] == "server_error"
    assert b"[DONE]" not in answer.body


def test_a_stream_cut_inside_an_event_never_passes_half_of_it_off_as_one(fleet: FaultFleet) -> None:
    half = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"thr'
    fleet.one.behaviour = says_and_resets(STREAM_HEAD + content_events("one ") + chunked(half))
    answer = fleet.ask_one(stream_post("/one" + CHAT))
    assert not answer.whole
    assert b"[DONE]" not in answer.body
    assert json.loads(answer.body.split(b"\n\n")[-2].removeprefix(b"data: "))["error"]


def test_nothing_is_put_behind_a_stream_that_is_compressed(fleet: FaultFleet) -> None:
    head = STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    fleet.one.behaviour = says_and_resets(head + chunked(b"\x1f\x8b\x08\x00"))
    answer = fleet.ask_one(stream_post("/one" + CHAT))
    assert (answer.status, answer.whole) in ((200, False), (502, True))
    assert b"data:" not in answer.body


def test_a_hang_between_tokens_ends_at_its_limit(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says_and_hangs(STREAM_HEAD + content_events("one "))
    started_s = time.monotonic()
    answer = fleet.ask_one(stream_post("/one" + CHAT))
    assert not answer.whole
    assert b'"error"' in answer.body
    assert time.monotonic() - started_s < 6


@pytest.mark.parametrize(
    "extra",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        b"poison",
        b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
def test_bytes_after_an_answer_never_reach_anybody(fleet: FaultFleet, extra: bytes) -> None:
    whole = b"%bContent-Length: %d\r\n\r\n%b" % (JSON_HEAD, len(GOOD_BODY), GOOD_BODY)
    for pieces in ((whole + extra,), (whole, extra)):
        said = threading.Event()
        fleet.one.behaviour = says_and_tells(said, *pieces)
        with connected(fleet.url) as stream:
            for _ in range(4):
                said.clear()
                stream.sendall(post("/one" + CHAT))
                answer = read_answer(stream)
                assert (answer.status, answer.body, answer.rest) == (200, GOOD_BODY, b"")
                assert said.wait(30)  # what comes before the next request belongs to nobody


def test_a_body_where_none_may_be_is_not_passed_on(fleet: FaultFleet) -> None:
    for status in (b"204 No Content", b"304 Not Modified"):
        fleet.one.behaviour = says(b"HTTP/1.1 %b\r\nContent-Length: 6\r\n\r\npoison" % status, stays=True)
        with connected(fleet.url) as stream:
            for _ in range(2):
                stream.sendall(post("/one" + CHAT))
                answer = read_answer(stream)
                assert (answer.status, answer.rest, answer.whole) == (int(status[:3]), b"", True)


def test_an_answer_until_the_connection_closes_is_whole_only_then(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says(b"HTTP/1.1 200 OK\r\n\r\nhello ", b"world")
    answer = fleet.ask_one()
    assert (answer.status, answer.body, answer.whole) == (200, b"hello world", True)
    fleet.one.behaviour = says_and_resets(b"HTTP/1.1 200 OK\r\n\r\nhello ")
    answer = fleet.ask_one()
    assert (answer.status, answer.whole) in ((200, False), (0, False), (502, True))


def test_a_whole_stream_is_passed_on_byte_by_byte(fleet: FaultFleet) -> None:
    fleet.one.behaviour = stream_of(["one ", "two "])
    answer = fleet.ask_one(stream_post("/one" + CHAT))
    assert answer.whole
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert answer.body.count(b"data: ") == 4
    whole = STREAM_HEAD + content_events("one ", "two ") + chunked(b"data: [DONE]\n\n") + LAST_CHUNK
    fleet.one.behaviour = says(*(bytes([byte]) for byte in whole), stays=True)
    split = fleet.ask_one(stream_post("/one" + CHAT))
    assert split.whole
    assert split.body.index(b"one ") < split.body.index(b"two ") < split.body.index(b"[DONE]")
