"""The shapes of OpenAI's bodies that a gateway must know, and no more: msgspec skips the rest unread."""

from typing import Final

import msgspec

PROMPT_PARTS_AT: Final = 6
NOTHING: Final = msgspec.Raw(b"")


class Asked(msgspec.Struct, gc=False):
    """The fields beside the prompt that routing needs; everything may be absent.

    Read as a tuple (`wire/openai.py`), so their order matters: from `PROMPT_PARTS_AT` on stand the parts of
    the prompt, in the order in which a chat template renders them, since what comes first can be shared.
    """

    model: str = ""
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    max_output_tokens: int | None = None
    stream: bool | None = None
    user: str | None = None


class Body(Asked, gc=False):
    """A body with the parts of its prompt as they came."""

    system: msgspec.Raw = NOTHING
    instructions: msgspec.Raw = NOTHING
    tools: msgspec.Raw = NOTHING
    messages: msgspec.Raw = NOTHING
    prompt: msgspec.Raw = NOTHING
    input: msgspec.Raw = NOTHING


class _PartExtras(msgspec.Struct, gc=False):
    """What a part of a message's content may hold beside its text."""

    image_url: msgspec.Raw = NOTHING
    video_url: msgspec.Raw = NOTHING
    audio_url: msgspec.Raw = NOTHING
    input_audio: msgspec.Raw = NOTHING
    source: msgspec.Raw = NOTHING
    file: msgspec.Raw = NOTHING
    id: msgspec.Raw = NOTHING
    name: msgspec.Raw = NOTHING
    input: msgspec.Raw = NOTHING
    tool_use_id: msgspec.Raw = NOTHING
    content: msgspec.Raw = NOTHING


class Part(_PartExtras, gc=False):
    """A part of a message's content: text, or something else in one of the fields that are known."""

    type: str = ""
    text: str | None = None


class WrittenPart(_PartExtras, gc=False):
    """A `Part` whose text is left as it was written."""

    type: str = ""
    text: msgspec.Raw = NOTHING


class _MessageExtras(msgspec.Struct, gc=False):
    """What a message may hold beside its text."""

    name: msgspec.Raw = NOTHING
    tool_calls: msgspec.Raw = NOTHING
    tool_call_id: msgspec.Raw = NOTHING
    call_id: msgspec.Raw = NOTHING
    arguments: msgspec.Raw = NOTHING
    output: msgspec.Raw = NOTHING


class Message(_MessageExtras, gc=False):
    """A message of a chat, or an item of the Responses API."""

    role: str = ""
    content: str | list[Part] | None = None


class WrittenMessage(_MessageExtras, gc=False):
    """A `Message` whose content is left as it was written."""

    role: str = ""
    content: msgspec.Raw = NOTHING


class PromptBody(Asked, gc=False):
    """A body with the parts of its prompt decoded to their text."""

    system: str | list[Part] | None = None
    instructions: str | None = None
    tools: msgspec.Raw = NOTHING
    messages: list[Message] | None = None
    prompt: str | list[msgspec.Raw] | None = None
    input: str | list[Message] | None = None


class WrittenPromptBody(Asked, gc=False):
    """A `PromptBody` whose texts are left as they were written."""

    system: msgspec.Raw = NOTHING
    instructions: msgspec.Raw = NOTHING
    tools: msgspec.Raw = NOTHING
    messages: list[WrittenMessage] | None = None
    prompt: msgspec.Raw = NOTHING
    input: msgspec.Raw = NOTHING


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
