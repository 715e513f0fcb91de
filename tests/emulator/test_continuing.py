"""An answer that was cut and is continued says what an unbroken one would have said."""

from typing import Any

import msgspec
import pytest

from steelyard.emulator.api import Asked, Continues, understand
from steelyard.engines.text import Text, tokens
from steelyard.model.errors import BadRequest

USER = {"role": "user", "content": "tell me"}


def asked(*, chat: bool = True, continues: Continues = "asked", **fields: Any) -> Asked:
    body = msgspec.json.encode({"model": "m", "max_tokens": 20, **fields})
    return understand(body, "m", chat=chat, continues=continues)


def answer(request: Asked, count: int) -> list[str]:
    return tokens(request.prompt, count, request.so_far)


WHOLE = answer(asked(messages=[USER]), 20)


def cut(at: int) -> list[dict[str, str]]:
    return [USER, {"role": "assistant", "content": "".join(WHOLE[:at])}]


@pytest.mark.parametrize("at", [0, 1, 7, 19])
def test_a_chat_is_continued_when_asked_to(at: int) -> None:
    again = asked(messages=cut(at), continue_final_message=True, add_generation_prompt=False)
    assert answer(again, 20 - at) == WHOLE[at:]
    assert again.prompt_tokens == asked(messages=[USER]).prompt_tokens + at


def test_a_prefill_is_continued_unasked_by_some_and_refused_by_others() -> None:
    assert answer(asked(messages=cut(9), continues="always"), 11) == WHOLE[9:]
    with pytest.raises(BadRequest, match="must not be the assistant's"):
        asked(messages=cut(9), continues="refuses")
    assert answer(asked(messages=cut(9), continues="never"), 11) != WHOLE[9:]
    assert answer(asked(messages=cut(9)), 11) != WHOLE[9:]


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": cut(3), "continue_final_message": True},
        {"messages": [USER], "continue_final_message": True, "add_generation_prompt": False},
    ],
)
def test_a_continuation_that_makes_no_sense_is_refused_as_vllm_does(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        asked(**fields)


def test_a_completion_goes_on_from_prompt_and_text() -> None:
    whole = answer(asked(chat=False, prompt='say "é"'), 20)
    again = asked(chat=False, prompt='say "é"' + "".join(whole[:8]))
    assert answer(again, 12) == whole[8:]


def test_without_a_limit_a_continued_answer_ends_where_the_unbroken_one_does() -> None:
    request = asked(messages=[USER], max_tokens=None)
    assert (request.finish, asked(messages=[USER]).finish) == ("stop", "length")
    part = "".join(answer(request, request.output_tokens)[:-1]).encode()
    assert Text(request.prompt, part).tokens_to_end() == 1
