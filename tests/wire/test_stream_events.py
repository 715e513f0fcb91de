"""Chunks of chat and completion streams, and what a client has been given by them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.wire.answer_so_far import AnswerSoFar, ToolCall
from steelyard.wire.sse import DONE
from steelyard.wire.stream_events import MalformedEvent, decode_chunk


def chat(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    around = {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    return msgspec.json.encode(around | {"choices": [choice]})


def after(*events: bytes) -> AnswerSoFar:
    answer = AnswerSoFar()
    for data in events:
        answer.observe(data)
    return answer


def test_a_chat_is_followed_from_its_role_to_its_end() -> None:
    usage = b'{"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
    answer = after(
        chat(role="assistant", content=None),
        chat(content="Hel"),
        chat(content="lo"),
        chat("stop"),
        usage,
        DONE,
    )
    assert (answer.text, answer.tokens, answer.role_given) == ("Hello", 2, True)
    assert (answer.finish_reason, answer.done, answer.answer_id, answer.created) == ("stop", True, "c1", 7)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


def test_a_completion_is_followed_by_its_text() -> None:
    answer = after(
        b'{"id":"x","object":"text_completion","choices":[{"index":0,"text":"ab","logprobs":null}]}'
    )
    assert (answer.text, answer.object) == ("ab", "text_completion")


def test_reasoning_is_kept_apart_from_text() -> None:
    answer = after(chat(reasoning_content="hm "), chat(reasoning="so "), chat(content="yes"))
    assert (answer.reasoning, answer.text, answer.tokens) == ("hm so ", "yes", 3)


def test_tool_calls_are_put_together_and_known_to_be_whole() -> None:
    answer = after(
        chat(
            tool_calls=[
                {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}
            ]
        ),
        chat(tool_calls=[{"index": 0, "function": {"arguments": '{"a":'}}]),
    )
    assert not answer.tool_calls[0].whole
    answer.observe(chat(tool_calls=[{"index": 0, "function": {"arguments": " 1}"}}]))
    assert answer.tool_calls[0] == ToolCall("f", '{"a": 1}')
    assert answer.tool_calls[0].whole


@pytest.mark.parametrize(
    "data",
    [
        b'{"error":{"message":"engine dead","type":"InternalServerError","code":500}}',
        b'{"object":"error","message":"engine dead","code":500}',
        chat("abort"),
    ],
)
def test_an_engines_own_error_is_noted_and_is_no_text(data: bytes) -> None:
    answer = after(chat(content="a"), data)
    assert answer.failed
    assert (answer.text, answer.finish_reason) == ("a", "")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"nonsense", b"[]", b"1", b'"x"', b"null", b"{}x", b"\xff{}", b'{"choices":[', b"[DONE"],
)
def test_what_is_no_object_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedEvent):
        after(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":5}',
        b'{"choices":"x"}',
        b'{"choices":{}}',
        b'{"choices":[1]}',
        b'{"choices":[null]}',
        b'{"choices":[[]]}',
        b'{"choices":[{"delta":[]}]}',
        b'{"choices":[{"delta":"a"}]}',
        b'{"choices":[{"delta":{"content":{}}}]}',
        b'{"choices":[{"delta":{"content":7}}]}',
        b'{"choices":[{"delta":{"content":true}}]}',
        b'{"choices":[{"delta":{"reasoning_content":7}}]}',
        b'{"choices":[{"delta":{"tool_calls":{}}}]}',
        b'{"choices":[{"delta":{"tool_calls":[1]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":"0"}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"function":"f"}]}}]}',
        b'{"choices":[{"index":"0","delta":{}}]}',
        b'{"choices":[{"index":0.5,"delta":{}}]}',
        b'{"choices":[{"text":5}]}',
        b'{"choices":[{"delta":{},"finish_reason":5}]}',
        b'{"choices":[],"usage":"x"}',
        b'{"choices":[],"usage":[1]}',
        b'{"id":7,"choices":5}',
    ],
)
def test_what_a_client_would_stumble_over_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedEvent):
        after(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":7}',
        b'{"id":null}',
        b'{"choices":null}',
        b'{"created":1.5}',
        b'{"model":["m"]}',
        b'{"choices":[{"delta":{"content":["a"]}}]}',
        b'{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[]}]}}]}',
        b'{"choices":[{"delta":{"role":7}}]}',
        b'{"choices":[{"index":null,"delta":null}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":null,"function":{"arguments":{}}}]}}]}',
        b'{"choices":[],"usage":{"prompt_tokens":"3"}}',
        b'{"choices":[],"usage":{"prompt_tokens":1.5,"completion_tokens":null}}',
    ],
)
def test_an_object_of_another_shape_is_passed_on_unread(data: bytes) -> None:
    assert decode_chunk(data) is None
    assert after(data).opaque


def test_a_second_choice_is_noticed() -> None:
    assert after(b'{"choices":[{"index":1,"delta":{"content":"b"}}]}').several_choices


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        AnswerSoFar().observe(data)
    except MalformedEvent:
        pass
