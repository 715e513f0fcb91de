"""The shapes of OpenAI's bodies that a gateway must know, and no more: msgspec skips the rest unread."""

import msgspec


class Body(msgspec.Struct, gc=False):
    """The fields that routing needs; everything may be absent."""

    model: str = ""
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    user: str | None = None
    messages: msgspec.Raw = msgspec.Raw(b"")
    tools: msgspec.Raw = msgspec.Raw(b"")
    system: msgspec.Raw = msgspec.Raw(b"")
    instructions: msgspec.Raw = msgspec.Raw(b"")
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
