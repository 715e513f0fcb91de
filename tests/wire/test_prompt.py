"""A prompt is its text: how its JSON was written makes no difference."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.model.errors import BadRequest
from steelyard.wire import prompt
from steelyard.wire.openai import BLOCK_BYTES, WRITTEN_BODY_BYTES, read_inference

TEXT = "Ein Satz mit „Zeichen“, 漢字 und\nZeilen. " * 150
TEXT_PART = {"type": "text", "text": TEXT}
SCHEMA = {"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": [1, 2]}}}


def hashes(body: object, **how: object) -> tuple[int, ...]:
    return read_inference(json.dumps(body, **how).encode()).prefix_hashes  # type: ignore[arg-type]  # options of dumps


def chat(content: object = TEXT, **more: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def test_white_space_escapes_and_order_of_keys_make_no_difference() -> None:
    plain = hashes(chat(tools=[SCHEMA]))
    assert len(plain) > 3
    assert hashes(chat(tools=[SCHEMA]), ensure_ascii=False) == plain
    assert hashes(chat(tools=[SCHEMA]), indent=4) == plain
    assert hashes(chat(tools=[SCHEMA]), sort_keys=True, separators=(",", ":")) == plain
    turned = dict(reversed(chat(tools=[dict(reversed(SCHEMA.items()))]).items()))
    assert hashes(turned) == plain


PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=900)),
    st.builds(lambda url: {"type": "image_url", "image_url": {"url": url, "a": 1}}, st.text(max_size=20)),
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "rôle"])},
    optional={
        "content": st.one_of(st.none(), st.text(max_size=900), st.lists(PARTS, max_size=3)),
        "tool_call_id": st.text(max_size=9),
        "tool_calls": st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=9)), max_size=2),
    },
)
TEXTS = st.one_of(st.none(), st.text(max_size=900))


@given(st.lists(MESSAGES, max_size=4), TEXTS, st.one_of(TEXTS, st.lists(st.text(max_size=900), max_size=3)))
def test_every_way_to_write_a_prompt_gives_the_same_hashes(
    messages: list[dict[str, object]], system: str | None, prompt: str | list[str] | None
) -> None:
    body = {"model": "m", "system": system, "messages": messages, "prompt": prompt, "tools": [SCHEMA] * 30}
    plain = read_inference(json.dumps(body, ensure_ascii=False).encode()).prefix_hashes
    assert plain
    assert hashes(body, indent=1) == plain
    assert hashes(body, separators=(",", ":")) == plain
    # An escape that could be shorter has the whole body decoded, which must make no difference.
    assert read_inference(json.dumps(body).replace("/", "\\/").encode()).prefix_hashes == plain
    assert hashes({**body, "more": "\x00"}) == plain
    # A long body's texts are copied as they were written, a short one's are decoded.
    assert hashes({**body, "more": "x" * WRITTEN_BODY_BYTES}, ensure_ascii=False) == plain


def test_text_as_a_string_or_as_parts_is_the_same() -> None:
    plain = hashes(chat())
    assert hashes(chat([{"type": "text", "text": TEXT}])) == plain
    assert hashes(chat([{"text": TEXT, "type": "text", "cache_control": {"type": "ephemeral"}}])) == plain
    halves = [{"type": "text", "text": TEXT[:700]}, {"type": "text", "text": TEXT[700:]}]
    assert hashes(chat(halves)) == hashes(chat(TEXT[:700] + "\n" + TEXT[700:]))
    system = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    assert hashes({**system, "system": TEXT}) == hashes(
        {**system, "system": [{"type": "text", "text": TEXT}]}
    )


def test_null_is_nothing() -> None:
    plain = hashes(chat())
    message = {"role": "user", "content": TEXT, "name": None, "tool_calls": None, "tool_call_id": None}
    assert hashes({"model": "m", "messages": [message], "tools": None, "system": None}) == plain
    assert hashes(chat([{"type": "text", "text": TEXT, "image_url": None}])) == plain
    image = {"type": "image_url", "image_url": {"url": "data:x"}}
    assert hashes(chat([{**image, "name": None}, TEXT_PART])) == hashes(chat([image, TEXT_PART]))


@pytest.mark.parametrize(
    "other",
    [
        chat(TEXT.replace("Satz", "Wort")),
        chat(tools=[SCHEMA]),
        chat([{"type": "image_url", "image_url": {"url": "data:x"}}, {"type": "text", "text": TEXT}]),
        {"model": "m", "messages": [{"role": "system", "content": TEXT}]},
        {"model": "n", "messages": [{"role": "user", "content": TEXT}]},
    ],
)
def test_another_prompt_has_other_hashes(other: dict[str, object]) -> None:
    assert not set(hashes(other)) & set(hashes(chat()))


def test_an_image_and_a_tool_call_are_part_of_the_prompt() -> None:
    def with_image(url: str) -> dict[str, object]:
        return chat([{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": TEXT}])

    assert hashes(with_image("data:one")) != hashes(with_image("data:two"))
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = {"model": "m", "messages": [turn, {"role": "tool", "tool_call_id": "1", "content": TEXT}]}
    plain = hashes(body)
    assert hashes(body, indent=1) == plain
    call["function"] = {"name": "g", "arguments": "{}"}
    assert hashes(body) != plain


@pytest.mark.parametrize("key", ["prompt", "input", "instructions"])
def test_other_interfaces_are_read_too(key: str) -> None:
    one = hashes({"model": "m", key: TEXT})
    assert len(one) > 3
    assert hashes({"model": "m", key: TEXT}, ensure_ascii=False) == one


def test_items_of_responses_are_messages() -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": TEXT}]}
    assert hashes({"model": "m", "input": [item]}) == hashes(
        {"model": "m", "input": [{"role": "user", "content": TEXT}]}
    )


@pytest.mark.parametrize(
    "odd",
    [
        {"messages": [{"role": "user", "content": 5}], "prompt": TEXT},
        {"messages": "text", "prompt": TEXT},
        {"input": [[1, 2, 3] * 1000]},
        {"input": [TEXT, TEXT]},
        {"prompt": [1, 2] * 1000},
        {"messages": [{"role": "user", "content": ["text", TEXT]}]},
    ],
)
def test_an_odd_shape_is_hashed_as_it_was_written(odd: dict[str, object]) -> None:
    assert hashes({"model": "m", **odd})
    assert hashes({"model": "m", **odd}) == hashes({"model": "m", **odd})


def test_half_a_pair_of_surrogates_is_no_json() -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800%b"}]}' % (b"x" * 2000)
    with pytest.raises(BadRequest):
        read_inference(body)


@pytest.mark.parametrize("odd", [{}, {"messages": [{"role": "user", "content": 5}]}])
def test_long_json_is_not_kept(odd: dict[str, object]) -> None:
    prompt._sorted_and_kept.cache_clear()
    long = [{**SCHEMA, "description": "x" * prompt.MAX_SORTED_BYTES}]
    assert hashes({**chat(tools=long), **odd})
    assert hashes({"model": "m", "messages": [[1, 2]] * prompt.MAX_SORTED_BYTES})
    assert prompt._sorted_and_kept.cache_info().currsize <= bool(odd)  # the short messages of an odd body
    hashes(chat(tools=[SCHEMA]))
    hashes(chat(tools=[SCHEMA]))
    assert prompt._sorted_and_kept.cache_info().hits == 1


@given(st.lists(st.text(max_size=2000), min_size=1, max_size=4))
def test_prompts_that_begin_alike_share_their_beginning(contents: list[str]) -> None:
    def body(*more: str) -> dict[str, object]:
        return {"model": "m", "messages": [{"role": "user", "content": each} for each in (*contents, *more)]}

    short, long = hashes(body()), hashes(body("and more" * BLOCK_BYTES))
    assert long[: len(short)] == short or len(json.dumps(body())) < BLOCK_BYTES
