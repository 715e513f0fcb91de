"""The shapes of OpenAI's bodies that a gateway must know, and no more: msgspec skips the rest unread."""

from typing import Final

import msgspec

PROMPT_PARTS_AT: Final = 6


class Body(msgspec.Struct, gc=False):
    """The fields that routing needs; everything may be absent.

    Read as a tuple (`wire/openai.py`), so their order matters: from `PROMPT_PARTS_AT` on stand the parts of
    the prompt, in the order in which a chat template renders them, since what comes first can be shared.
    """

    model: str = ""
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    max_output_tokens: int | None = None
    stream: bool | None = None
    user: str | None = None
    system: msgspec.Raw = msgspec.Raw(b"")
    instructions: msgspec.Raw = msgspec.Raw(b"")
    tools: msgspec.Raw = msgspec.Raw(b"")
    messages: msgspec.Raw = msgspec.Raw(b"")
    prompt: msgspec.Raw = msgspec.Raw(b"")
    input: msgspec.Raw = msgspec.Raw(b"")


class ModelOnly(msgspec.Struct):
    model: str = ""


class PromptTokenDetails(msgspec.Struct):
    """OpenAI's breakdown of the prompt tokens."""

    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    """The usage object at the end of an answer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: PromptTokenDetails | None = None


class Answer(msgspec.Struct):
    usage: Usage | None = None
