"""A stream over several engines is, letter by letter, the stream of one engine that never died."""

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness.stream_choices import hear

from steelyard.emulator import api
from steelyard.engines.text import Text
from steelyard.model.errors import BadRequest
from steelyard.routing.continuation import Continuation, GiveUp, Way
from steelyard.routing.stream_keeper import StreamBroken, StreamKeeper
from steelyard.wire.answer_so_far import AnswerSoFar
from steelyard.wire.sse import DONE, event

Engine = Literal["vllm", "llama.cpp", ""]
CONTINUES: dict[str, api.Continues] = {"vllm": "asked", "llama.cpp": "always", "": "never"}
_ids = itertools.count()


def engine_stream(body: bytes, *, chat: bool, engine: str) -> list[bytes]:
    """All events of an answer of the emulated engine. Raises BadRequest."""
    asked = api.understand(body, "m", chat=chat, continues=CONTINUES[engine])
    text, name = Text(asked.prompt, asked.so_far), f"id-{next(_ids)}"
    events = []
    for at in range(asked.output_tokens):
        finish = asked.finish if at == asked.output_tokens - 1 else None
        choice = api.delta(asked, text.next_token(), finish, first=at == 0)
        events.append(msgspec.json.encode(api.envelope(asked, "m", name, [choice], chunk=True)))
    if asked.include_usage:
        last = api.envelope(asked, "m", name, [], chunk=True) | {
            "usage": api.usage(asked, asked.output_tokens, 0)
        }
        events.append(msgspec.json.encode(last))
    return [*map(event, events), event(DONE)]


@dataclass(slots=True)
class Seen:
    """What a client makes of a stream."""

    text: str
    roles: int
    ids: set[str]
    finish: list[str]
    usage: dict[str, Any] | None
    done: int


def seen(stream: bytes) -> Seen:
    found = Seen("", 0, set(), [], None, stream.count(event(DONE)))
    for each in stream.split(b"\n\n"):
        data = each.removeprefix(b"data: ")
        if not data or data == DONE:
            continue
        chunk = msgspec.json.decode(data)
        found.ids.add(chunk["id"])
        found.usage = chunk.get("usage") or found.usage
        hear(found, chunk["choices"])
    return found


def request(*, chat: bool, **fields: Any) -> bytes:
    prompt = {"messages": [{"role": "user", "content": "tell me"}]} if chat else {"prompt": "tell me "}
    return msgspec.json.encode({"model": "m", "stream": True} | prompt | fields)


@settings(max_examples=300, deadline=None)
@given(
    chat=st.booleans(),
    engine=st.sampled_from(["vllm", "llama.cpp", ""]),
    usage=st.booleans(),
    limit=st.one_of(st.none(), st.integers(1, 40)),
    cuts=st.lists(st.floats(0, 1), max_size=4),
    split=st.integers(1, 400),
)
def test_no_letter_is_repeated_or_missing_however_often_engines_die(
    chat: bool, engine: Engine, usage: bool, limit: int | None, cuts: list[float], split: int
) -> None:
    fields: dict[str, Any] = {"stream_options": {"include_usage": usage}}
    if limit is not None:
        fields["max_tokens"] = limit
    body = request(chat=chat, **fields)
    unbroken = seen(b"".join(engine_stream(body, chat=chat, engine=engine)))
    keeper, given, ask = StreamKeeper(body, chat=chat), b"", body
    for cut in [*cuts, None]:
        stream = b"".join(engine_stream(ask, chat=chat, engine=engine))
        alive = stream if cut is None else stream[: int(cut * len(stream))]
        for at in range(0, len(alive), split):
            given += keeper.feed(alive[at : at + split])
        if keeper.so_far.done:
            break
        todo = keeper.go_on(engine=engine)
        assert isinstance(todo, Continuation), todo
        given += keeper.opening()
        if todo.way is Way.FINISH:
            break
        ask = todo.body
    given += keeper.complete()
    assert seen(given) == Seen(
        unbroken.text, unbroken.roles, seen(given).ids, unbroken.finish, unbroken.usage, 1
    )
    assert len(seen(given).ids) == 1


def test_what_needs_no_change_goes_as_it_came() -> None:
    keeper = StreamKeeper(request(chat=True), chat=True)
    payload = event(b'{"id" : "x", "choices":[ ]}') + b": ping\n\n" + event(b'{"choices":[]}')
    assert keeper.feed(payload) is payload
    assert keeper.feed(b"data: {}") == b""
    assert keeper.feed(b"\n\n") == event(b"{}")
    assert keeper.feed(b"data: {}\r\n\r\n") == event(b"{}")


CHUNK = event(b'{"id":"a","choices":[{"index":0,"delta":{"content":"one "}}]}')


@pytest.mark.parametrize(
    "bad",
    [b"data: {nonsense\n\n", b"data: [1]\n\n", b'data: {"error":{"message":"dead"}}\n\n', b"x" * 2_000_000],
)
def test_a_malformed_event_never_goes_out_and_what_came_before_it_does(bad: bytes) -> None:
    keeper = StreamKeeper(request(chat=True), chat=True)
    with pytest.raises(StreamBroken) as caught:
        assert keeper.feed(CHUNK + bad) != keeper.feed(b"and no end")
    assert caught.value.good in (CHUNK, b"")
    assert isinstance(keeper.go_on(engine="vllm"), Continuation)


def test_a_replay_that_says_something_else_is_given_up() -> None:
    keeper = StreamKeeper(request(chat=True), chat=True)
    keeper.feed(CHUNK)
    assert isinstance(keeper.go_on(engine=""), Continuation)
    assert keeper.feed(CHUNK) == b""
    assert keeper.repeated_tokens == 1
    assert b"two " in keeper.feed(CHUNK.replace(b"one", b"two"))
    assert isinstance(keeper.go_on(engine=""), Continuation)
    with pytest.raises(StreamBroken, match="something else") as caught:
        keeper.feed(CHUNK.replace(b"one", b"own"))
    assert caught.value.diverged


def test_a_replay_that_ends_too_soon_is_given_up() -> None:
    keeper = StreamKeeper(request(chat=True), chat=True)
    keeper.feed(CHUNK + CHUNK)
    assert isinstance(keeper.go_on(engine=""), Continuation)
    keeper.feed(CHUNK)
    with pytest.raises(StreamBroken, match="said less"):
        keeper.complete()


def test_pieces_of_other_sizes_are_compared_by_letters() -> None:
    keeper = StreamKeeper(request(chat=True), chat=True)
    keeper.feed(CHUNK + CHUNK)
    keeper.go_on(engine="")
    assert keeper.feed(CHUNK.replace(b"one ", b"one o")) == b""
    assert seen(keeper.feed(CHUNK.replace(b"one ", b"ne tw"))).text == "tw"
    assert keeper.so_far.text == "one one tw"


def tool_event(index: int, **function: str) -> bytes:
    call = {"index": index, "id": f"call-{next(_ids)}", "type": "function", "function": function}
    return event(msgspec.json.encode({"id": "a", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}))


def test_whole_tool_calls_are_told_apart_and_half_ones_given_up() -> None:
    keeper = StreamKeeper(request(chat=True), chat=True)
    keeper.feed(tool_event(0, name="f", arguments='{"a":'))
    assert isinstance(keeper.go_on(engine="vllm", replays_chance=True), GiveUp)
    keeper = StreamKeeper(request(chat=True), chat=True)
    keeper.feed(tool_event(0, name="f", arguments='{"a":1}'))
    assert isinstance(keeper.go_on(engine="vllm"), Continuation)
    assert keeper.feed(tool_event(0, name="f", arguments='{"a":')) == b""
    assert keeper.feed(tool_event(0, arguments="1}")) == b""
    assert b'"g"' in keeper.feed(tool_event(1, name="g", arguments="{}"))
    finish = event(b'{"id":"b","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}')
    assert b"tool_calls" in keeper.feed(finish)


def test_a_repeated_tool_call_that_differs_is_given_up() -> None:
    keeper = StreamKeeper(request(chat=True), chat=True)
    keeper.feed(tool_event(0, name="f", arguments='{"a":1}'))
    keeper.go_on(engine="")
    with pytest.raises(StreamBroken, match="another way"):
        keeper.feed(tool_event(0, name="f", arguments='{"a":2}'))


def test_reasoning_is_suppressed_before_text() -> None:
    thought = event(b'{"id":"a","choices":[{"index":0,"delta":{"reasoning_content":"hm "}}]}')
    keeper = StreamKeeper(request(chat=True), chat=True)
    keeper.feed(thought + thought + CHUNK)
    keeper.go_on(engine="vllm")
    assert keeper.feed(thought + thought + CHUNK) == b""
    assert seen(keeper.feed(CHUNK)).text == "one "
    keeper.go_on(engine="vllm")
    with pytest.raises(StreamBroken, match="reasoned less"):
        keeper.feed(thought + CHUNK)


def test_a_stream_complete_but_for_its_end_gets_it_once() -> None:
    keeper = StreamKeeper(request(chat=True), chat=True)
    keeper.feed(CHUNK)
    assert keeper.complete() == event(DONE)
    assert keeper.complete() == b""


def test_a_refusal_is_an_engines_not_the_clients() -> None:
    keeper = StreamKeeper(request(chat=True), chat=True)
    keeper.feed(CHUNK)
    todo = keeper.go_on(engine="llama.cpp")
    assert isinstance(todo, Continuation)
    with pytest.raises(BadRequest):
        api.understand(todo.body, "m", chat=True, continues="refuses")
    again = keeper.go_on(engine="llama.cpp", refused={todo.way})
    assert isinstance(again, Continuation)
    assert again.way is Way.REPLAY


TEXTS = ["a", " word", "", 'a "quote"', "back\\slash", "café", "line\nend", "\x00", "}", '"},"index":1']
CALL = {"index": 0, "function": {"name": "", "arguments": "{"}}
EXTRAS: list[dict[str, Any]] = [{}, {"tool_calls": [CALL]}, {"reasoning_content": "hm"}, {"tool_calls": None}]


@given(
    st.lists(st.sampled_from(TEXTS), max_size=12), st.booleans(), st.integers(0, 12), st.sampled_from(EXTRAS)
)
def test_events_that_are_not_decoded_are_understood_as_if_they_were(
    texts: list[str], chat: bool, odd_at: int, extra: dict[str, Any]
) -> None:
    keeper, decoded = StreamKeeper(request(chat=chat), chat=chat), AnswerSoFar()
    for at, text in enumerate(texts):
        inside: dict[str, Any] = {"delta": {"content": text} | extra} if chat else {"text": text}
        choice = {"index": int(at == odd_at), **inside, "finish_reason": None}
        data = msgspec.json.encode({"id": "a", "object": "x", "model": "m", "choices": [choice]})
        decoded.observe(data)
        assert keeper.feed(event(data)) == event(data)
        assert keeper.so_far == decoded


def test_a_text_that_would_end_its_string_is_never_taken_for_plain() -> None:
    keeper = StreamKeeper(request(chat=True), chat=True)
    first = event(b'{"id":"a","choices":[{"index":0,"delta":{"content":"one "},"finish_reason":null}]}')
    assert keeper.feed(first) == first
    assert keeper.feed(first) == first
    for broken in (b'one "', b"one \\", b"one \n", b"one \xff"):
        with pytest.raises(StreamBroken):
            keeper.feed(first.replace(b"one ", broken))


def test_an_event_without_its_text_is_malformed_and_no_crash() -> None:
    keeper = StreamKeeper(b'{"messages":[{"role":"user","content":"x"}]}', chat=True)
    start = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"'
    end = b'"},"finish_reason":null}]}\n\n'
    for text in (b"one", b"two", b"three"):
        assert keeper.feed(start + text + end) == start + text + end
    with pytest.raises(StreamBroken):
        keeper.feed(start[:-1] + end)  # start and end share a quote
