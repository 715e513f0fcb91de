"""What an answer says of itself, from whole answers and from the ends of streams."""

import json

import pytest

from steelyard.wire.answer_label import MAX_CHARACTERS, AnswerLabel, read_label, read_stream_label

NOTHING = AnswerLabel()


def event(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def test_a_whole_answer_tells_why_each_choice_ended() -> None:
    choices = [
        {"index": 1, "finish_reason": "length", "message": {"content": "finish_reason"}},
        {"index": 0, "finish_reason": "stop", "message": {"content": "x"}},
    ]
    answer = json.dumps({"id": "chatcmpl-7", "model": "llama", "choices": choices}).encode()
    assert read_label(answer) == AnswerLabel("chatcmpl-7", "llama", ("stop", "length"))


def test_the_end_of_a_stream_tells_it_even_when_its_beginning_is_torn() -> None:
    tail = (
        b'"},"finish_reason":"length"}]}\n\n'
        + event(id="c", model="m", choices=[{"index": 0, "delta": {"content": "x"}, "finish_reason": None}])
        + event(id="c", model="m", choices=[{"index": 0, "delta": {}, "finish_reason": "tool_calls"}])
        + event(id="c", model="m", choices=[], usage={"completion_tokens": 2})
        + b"data: [DONE]\n\n"
    )
    assert read_stream_label(tail) == AnswerLabel("c", "m", ("tool_calls",))


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"[]", b"no JSON", b"\xff", b'{"id": 7}', b'{"choices": 1}', b'{"id": null, "choices": []}'],
)
def test_what_cannot_be_read_is_left_out(answer: bytes) -> None:
    assert read_label(answer) == read_stream_label(b"data: " + answer) == NOTHING


def test_what_an_engine_makes_long_is_cut() -> None:
    choices = [{"index": index, "finish_reason": "r" * 999} for index in range(999)]
    found = read_label(json.dumps({"id": "i" * 999, "model": "m" * 999, "choices": choices}).encode())
    assert (len(found.answer_id), len(found.model)) == (MAX_CHARACTERS, MAX_CHARACTERS)
    assert {len(reason) for reason in found.finish_reasons} == {MAX_CHARACTERS}
    assert len(found.finish_reasons) == 128
