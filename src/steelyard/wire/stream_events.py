"""What the events of an OpenAI stream say.

Chat chunks and completion chunks are decoded with one type; fields that nobody here needs are skipped
unread. An event that is no JSON object is malformed, and so is one over which a client would stumble on its
way to the text (choices that are no list, a delta that is no object, a content that is a number): the engine
cannot be trusted any more. Engines differ in the rest (an id that is a number, a content made of parts): that
is passed on unread, and the answer cannot be continued by its text.
Cost: 1.3 µs an event (benchmarks/streams.py).
"""

from typing import Any

import msgspec

from steelyard.wire.openai_bodies import Usage

# An engine ends an answer so when it was stopped from outside, not by the model (vLLM, SGLang).
ABORTED = "abort"
NOTHING = msgspec.Raw(b"")
NONE = (b"", b"null")


class MalformedEvent(ValueError):
    """An event that is no JSON object, or none of a stream's."""


class FunctionDelta(msgspec.Struct, gc=False):
    """A piece of a function's name and arguments."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(msgspec.Struct, gc=False):
    """A piece of a tool call."""

    index: int = 0
    id: str | None = None
    function: FunctionDelta | None = None


class Delta(msgspec.Struct, gc=False):
    """A piece of a chat message."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: msgspec.Raw = NOTHING


class ChoiceDelta(msgspec.Struct, gc=False):
    """One choice of a chunk, of a chat (`delta`) or of a completion (`text`)."""

    index: int = 0
    delta: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = NOTHING


class Chunk(msgspec.Struct, gc=False):
    """One event."""

    id: str = ""
    object: str = ""
    created: int = 0
    model: str = ""
    choices: list[ChoiceDelta] = []
    usage: Usage | None = None
    error: msgspec.Raw = NOTHING


# What an event must at least be, whatever else it holds: the way that every client goes to the text.


class _AnyFunction(msgspec.Struct, gc=False):
    name: str | None = None


class _AnyToolCall(msgspec.Struct, gc=False):
    index: int | None = None
    function: _AnyFunction | None = None


class _AnyDelta(msgspec.Struct, gc=False):
    content: str | list[Any] | None = None
    reasoning_content: str | list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[_AnyToolCall] | None = None


class _AnyChoice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: _AnyDelta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _AnyChunk(msgspec.Struct, gc=False):
    choices: list[_AnyChoice] | None = None
    usage: dict[str, Any] | None = None


_any_decoder = msgspec.json.Decoder(_AnyChunk)
_chunk_decoder = msgspec.json.Decoder(Chunk)
_object_decoder = msgspec.json.Decoder(dict[str, Any])


def decode_chunk(data: bytes) -> Chunk | None:
    """An event's data; None when only its outline is known. Raises MalformedEvent."""
    try:
        if not data.isascii():
            data.decode()  # the decoder does not look into the fields that it skips
        return _chunk_decoder.decode(data)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(f"an event is not JSON: {error}") from None
    decode_object(data)
    try:
        _any_decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise MalformedEvent(f"an event is none of an answer's: {error}") from None
    return None


def decode_object(data: bytes) -> dict[str, Any]:
    """All fields of an event. Raises MalformedEvent."""
    try:
        return _object_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(f"an event is not a JSON object: {error}") from None


def failure_of(chunk: Chunk, data: bytes) -> str:
    """The engine's own error in an event, in words; "" for none."""
    error = bytes(chunk.error)
    if error not in NONE or chunk.object == "error":
        return (error or data).decode("utf-8", "replace")[:500]
    if any(choice.finish_reason == ABORTED for choice in chunk.choices):
        return "that it aborted the answer"
    return ""
