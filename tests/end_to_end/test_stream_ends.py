"""How a stream ends: what follows its `[DONE]`, and what becomes of one whose end is missing."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.end_to_end.stream_fleet import CHAT, ONE_TWO, PLAIN, WHOLE, asked, gateway_to, heard
from tests.harness.chaos_engine import (
    LAST_CHUNK,
    STREAM_HEAD,
    Behaviour,
    ChaosEngine,
    chaos_engines,
    chat_event,
    chunked,
    content_events,
    in_turn,
    reset,
    says,
    says_and_hangs,
    says_and_resets,
    stream_of,
)
from tests.harness.processes import Running, metrics, wait_until
from tests.harness.raw_client import connected, post


@pytest.mark.parametrize(
    "more",
    [chunked(b"data: [DONE]\n\n"), content_events("four"), chunked(b"data: {"), chunked(b"nonsense\n\n")],
)
def test_what_follows_the_end_of_a_stream_reaches_nobody(
    shared: tuple[Running, list[ChaosEngine]], more: bytes
) -> None:
    front, both = shared
    finish = chat_event("{}", '"stop"') + chunked(b"data: [DONE]\n\n")
    both[0].behaviour = both[1].behaviour = says(ONE_TWO + finish, more + LAST_CHUNK, stays=True)
    answer = asked(front, PLAIN)
    found = heard(answer)
    assert (answer.whole, found.text, found.done) == (True, "one two ", 1)
    assert answer.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("ends", [says, says_and_resets])
def test_a_stream_that_is_complete_is_whole_though_its_engine_dies_before_the_last_chunk(
    shared: tuple[Running, list[ChaosEngine]], ends: Callable[..., Behaviour]
) -> None:
    front, both = shared
    finish = chat_event("{}", '"stop"') + chunked(b"data: [DONE]\n\n")
    both[0].behaviour = both[1].behaviour = ends(ONE_TWO + finish)
    before = len(both[0].requests) + len(both[1].requests)
    answer = asked(front, PLAIN)
    found = heard(answer)
    assert (answer.whole, found.text, found.done, found.errors) == (True, "one two ", 1, [])
    assert len(both[0].requests) + len(both[1].requests) == before + 1


def test_a_stream_whose_end_is_missing_gets_it_at_once(shared: tuple[Running, list[ChaosEngine]]) -> None:
    front, both = shared
    clean_end = says(STREAM_HEAD + content_events("one ") + LAST_CHUNK, stays=True)
    unended = [
        says(STREAM_HEAD + content_events("one ") + chunked(end) + LAST_CHUNK, stays=True)
        for end in (b"\n", b"data: [DONE]", b"data: [DONE]\n")
    ]
    for behaviour in (stream_of(["one "], done=False), clean_end, *unended):
        both[0].behaviour = both[1].behaviour = behaviour
        started_s = time.monotonic()
        answer = asked(front, PLAIN)
        assert (answer.whole, heard(answer).text, heard(answer).done) == (True, "one ", 1)
        assert time.monotonic() - started_s < 1


@pytest.mark.parametrize("nothing", [b"", chunked(b": ping\n\n"), chat_event('{"role":"assistant"}')])
def test_a_stream_that_ends_before_it_began_is_asked_of_another_engine(
    shared: tuple[Running, list[ChaosEngine]], nothing: bytes
) -> None:
    front, both = shared
    both[0].behaviour = both[1].behaviour = in_turn(
        says(STREAM_HEAD + nothing + LAST_CHUNK, stays=True), WHOLE
    )
    found = heard(asked(front, PLAIN))
    assert (found.text, found.done, found.errors) == ("one two three", 1, [])


@pytest.mark.parametrize("mode", ["off", "auto"])
def test_who_has_all_of_a_stream_was_served_however_its_connection_ends(tmp_path: Path, mode: str) -> None:
    """The engine hangs behind `[DONE]`: the client leaves, or waits a moment for the end of the framing."""
    everything = ONE_TWO + chat_event("{}", '"stop"') + chunked(b"data: [DONE]\n\n")
    with (
        chaos_engines(says_and_hangs(everything)) as (engine,),
        gateway_to(tmp_path, engine.url, streams=f'continuation = "{mode}"', between_s=2) as front,
    ):
        with connected(front.addresses["gateway"]) as client:
            client.sendall(post(CHAT, json.dumps(PLAIN).encode()))
            heard_so_far = b""
            while b"[DONE]" not in heard_so_far:
                heard_so_far += client.recv(65_536)
            reset(client)
        served = 'steelyard_requests_total{pool="default",status="2xx"}'
        wait_until(lambda: metrics(front)[served] == 1)
        answer = asked(front, PLAIN)
        assert (answer.whole, heard(answer).done, heard(answer).errors) == (True, 1, [])
        counts = metrics(front)
        assert counts["steelyard_cut_streams_total"] == 0
        assert counts['steelyard_wasted_tokens_total{cause="left"}'] == 0
