"""What is asked of the next engine, as tables."""

from typing import Any

import msgspec
import pytest

from steelyard.routing.continuation import Continuation, GiveUp, Way, plan
from steelyard.wire.answer_so_far import AnswerSoFar, ToolCall
from steelyard.wire.openai_bodies import Usage

USER = {"role": "user", "content": "hi"}


def given(text: str = "one two ", **fields: Any) -> AnswerSoFar:
    pieces = [word + " " for word in text.split()]
    made = AnswerSoFar(answer_id="c", text_pieces=pieces, tokens=len(pieces), role_given=True)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def asked(**fields: Any) -> bytes:
    return msgspec.json.encode({"model": "m", "messages": [USER], "stream": True} | fields)


def decided(body: bytes, so_far: AnswerSoFar | None = None, **options: Any) -> Continuation:
    wanted: dict[str, Any] = {"chat": True, "engine": "vllm"}
    found = plan(body, so_far or given(), **wanted | options)
    assert isinstance(found, Continuation), found
    return found


def rewritten(body: bytes, so_far: AnswerSoFar | None = None, **options: Any) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.decode(decided(body, so_far, **options).body)
    return made


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_vllm_and_sglang_are_told_to_continue_the_partial_message(engine: str) -> None:
    body = rewritten(asked(max_tokens=10, extra={"kept": [1.5]}), engine=engine)
    assert body["messages"] == [USER, {"role": "assistant", "content": "one two "}]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert (body["max_tokens"], body["extra"], body["stream"]) == (8, {"kept": [1.5]}, True)


def test_llama_cpp_continues_without_being_told() -> None:
    body = rewritten(asked(), engine="llama.cpp")
    assert body["messages"][-1] == {"role": "assistant", "content": "one two "}
    assert "continue_final_message" not in body


def test_a_completion_has_the_text_behind_its_prompt() -> None:
    body = rewritten(msgspec.json.encode({"prompt": "é: ", "max_tokens": 5}), chat=False, engine="")
    assert (body["prompt"], body["max_tokens"]) == ("é: one two ", 3)


def test_the_clients_own_partial_message_is_made_longer() -> None:
    own = [USER, {"role": "assistant", "content": "zero "}]
    told = {"messages": own, "continue_final_message": True, "add_generation_prompt": False}
    whole = [USER, {"role": "assistant", "content": "zero one two "}]
    assert rewritten(asked(**told))["messages"] == whole
    assert rewritten(asked(messages=own), engine="llama.cpp")["messages"] == whole
    # Untold, it is an earlier turn to vLLM, and the answer is one of its own.
    assert len(rewritten(asked(messages=own))["messages"]) == 3


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "min_tokens"])
def test_limits_are_lowered_by_what_was_given(name: str) -> None:
    assert rewritten(asked(**{name: 7}))[name] == 5


def test_an_engine_that_counts_in_every_event_is_believed() -> None:
    so_far = given(usage=Usage(prompt_tokens=5, completion_tokens=6))
    assert rewritten(asked(max_tokens=10), so_far)["max_tokens"] == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_object"}},
        {"guided_json": {"type": "object"}},
        {"tool_choice": "required"},
        {"regex": "a+"},
    ],
)
def test_what_is_steered_from_its_first_letter_is_asked_for_whole(fields: dict[str, Any]) -> None:
    found = decided(asked(**fields))
    assert (found.way, found.body) == (Way.REPLAY, asked(**fields))


@pytest.mark.parametrize(
    "so_far",
    [
        given(reasoning_pieces=["hm"]),
        given(tool_calls={0: ToolCall("f", "{}")}),
        given("half a character \ufffd"),
    ],
)
def test_more_than_text_is_only_replayed(so_far: AnswerSoFar) -> None:
    so_far.text_pieces[-1] = so_far.text_pieces[-1].rstrip()
    assert decided(asked(), so_far).way is Way.REPLAY


@pytest.mark.parametrize("engine", ["", "unheard of"])
def test_an_unknown_engine_is_only_asked_for_the_whole(engine: str) -> None:
    assert decided(asked(), engine=engine).way is Way.REPLAY


def test_a_way_that_was_refused_is_not_tried_again() -> None:
    assert decided(asked(), refused={Way.CONTINUE}).way is Way.REPLAY
    assert plan(asked(), given(), chat=True, refused={Way.REPLAY}) == GiveUp(
        "the engine refused it in every way"
    )


def test_a_random_answer_is_replayed_only_when_told_to() -> None:
    hot = asked(temperature=0.7)
    assert isinstance(plan(hot, given(), chat=True), GiveUp)
    assert decided(hot, engine="", replays_chance=True).way is Way.REPLAY
    for same in (asked(temperature=0), asked(temperature=0.7, seed=5), asked()):
        assert decided(same, engine="").way is Way.REPLAY
    assert decided(hot).way is Way.CONTINUE  # a continued text may be random: nothing is compared


@pytest.mark.parametrize(
    ("fields", "so_far", "reason"),
    [
        ({"n": 2}, given(), "several choices"),
        ({}, given(several_choices=True), "several choices"),
        ({"logprobs": True}, given(), "log probabilities"),
        ({"top_logprobs": 3}, given(), "log probabilities"),
        ({}, given(tool_calls={0: ToolCall("f", '{"a":')}), "half a tool call"),
        ({}, given(opaque=True), "cannot be compared"),
    ],
)
def test_what_cannot_be_continued_is_given_up(
    fields: dict[str, Any], so_far: AnswerSoFar, reason: str
) -> None:
    found = plan(asked(**fields), so_far, chat=True, engine="vllm", replays_chance=True)
    assert isinstance(found, GiveUp)
    assert reason in found.reason


def test_an_answer_that_has_not_begun_is_asked_for_again() -> None:
    assert decided(asked(temperature=1), AnswerSoFar(role_given=True)).way is Way.REPLAY


def test_a_complete_text_only_gets_its_end() -> None:
    assert decided(asked(), given(finish_reason="stop")).way is Way.FINISH
    full = decided(asked(max_tokens=2))
    assert (full.way, full.finish_reason) == (Way.FINISH, "length")


def test_a_complete_text_without_its_usage_asks_for_one_token_that_nobody_sees() -> None:
    wants = asked(stream_options={"include_usage": True}, max_completion_tokens=9, min_tokens=3)
    found = decided(wants, given(finish_reason="stop"))
    body = msgspec.json.decode(found.body)
    assert (found.way, found.finish_reason, body["max_tokens"]) == (Way.CONTINUE, "stop", 1)
    assert not {"max_completion_tokens", "min_tokens"} & set(body)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_a_body_that_is_no_object_is_given_up(body: bytes) -> None:
    assert isinstance(plan(body, given(), chat=True), GiveUp)
