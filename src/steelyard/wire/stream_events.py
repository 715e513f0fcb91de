"""What the events of an OpenAI stream say, and what a client has been given so far.

Chat chunks and completion chunks are decoded with one type; fields that nobody here needs are skipped
unread. An event that is no JSON object is malformed: the engine cannot be trusted any more. One whose
fields have surprising types is passed on unread, and the answer cannot be continued by its text.
Cost: 1.3 µs an event (benchmarks/streams.py).
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from steelyard.wire.openai_bodies import Usage
from steelyard.wire.sse import DONE

# An engine ends an answer so when it was stopped from outside, not by the model (vLLM, SGLang).
ABORTED = "abort"
NOTHING = msgspec.Raw(b"")
_NONE = (b"", b"null")


class MalformedEvent(ValueError):
    """An event that is no JSON object."""


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


_chunk_decoder = msgspec.json.Decoder(Chunk)
_object_decoder = msgspec.json.Decoder(dict[str, Any])


def decode_chunk(data: bytes) -> Chunk | None:
    """An event's data; None when it is an object of another shape. Raises MalformedEvent."""
    try:
        if not data.isascii():
            data.decode()  # the decoder does not look into the fields that it skips
        return _chunk_decoder.decode(data)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(f"an event is not JSON: {error}") from None
    decode_object(data)
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
    if error not in _NONE or chunk.object == "error":
        return (error or data).decode("utf-8", "replace")[:500]
    if any(choice.finish_reason == ABORTED for choice in chunk.choices):
        return "that it aborted the answer"
    return ""


@dataclass(slots=True)
class ToolCall:
    """A tool call as far as it has come."""

    name: str = ""
    arguments: str = ""

    @property
    def whole(self) -> bool:
        """Whether the arguments are a whole JSON object; no beginning of a longer one is."""
        try:
            _object_decoder.decode(self.arguments.encode())
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return False
        return bool(self.name)


@dataclass(slots=True)
class AnswerSoFar:
    """What a client has been given of one streamed answer.

    tokens: events that carried text, which is one a token with most engines.
    opaque: something came that only an equal answer could follow, not a continued text.
    failed: the error with which the engine itself ended the stream, in words.
    """

    answer_id: str = ""
    created: int = 0
    model: str = ""
    object: str = ""
    text_pieces: list[str] = field(default_factory=list)
    reasoning_pieces: list[str] = field(default_factory=list)
    tool_calls: dict[int, ToolCall] = field(default_factory=dict)
    tokens: int = 0
    role_given: bool = False
    finish_reason: str = ""
    usage: Usage | None = None
    done: bool = False
    opaque: bool = False
    several_choices: bool = False
    failed: str = ""

    @property
    def text(self) -> str:
        """All of the text."""
        return "".join(self.text_pieces)

    @property
    def reasoning(self) -> str:
        """All of the reasoning."""
        return "".join(self.reasoning_pieces)

    @property
    def begun(self) -> bool:
        """Whether anything of the answer itself has been given."""
        return bool(self.tokens or self.tool_calls or self.finish_reason or self.opaque)

    def observe(self, data: bytes) -> Chunk | None:
        """Take in one event's data, before it is passed on; the chunk, where it is one.

        An engine's own error is noted in `failed`, and nothing else of it. Raises MalformedEvent.
        """
        if data == DONE:
            self.done = True
            return None
        chunk = decode_chunk(data)
        if chunk is None:
            self.opaque = True
            return None
        if self.answer_id and len(chunk.choices) == 1 and chunk.error is NOTHING and chunk.usage is None:
            # Nearly every event: one piece of a message's text and nothing else.
            choice = chunk.choices[0]
            delta = choice.delta
            plain = choice.finish_reason is None and not choice.index
            if (
                plain
                and delta is not None
                and delta.content
                and not (delta.tool_calls or delta.reasoning_content)
            ):
                self.text_pieces.append(delta.content)
                self.tokens += 1
                return chunk
        self._observe(chunk, data)
        return chunk

    def _observe(self, chunk: Chunk, data: bytes) -> None:
        if failure := failure_of(chunk, data):
            self.failed = failure
            return
        if not self.answer_id:
            self.take_name(chunk)
        if chunk.usage is not None:
            self.usage = chunk.usage
        for choice in chunk.choices:
            self._observe_choice(choice)

    def take_name(self, chunk: Chunk) -> None:
        """The first event names the answer, whichever engine sends it."""
        self.answer_id, self.created, self.model = chunk.id, chunk.created, chunk.model
        self.object = chunk.object

    def _observe_choice(self, choice: ChoiceDelta) -> None:
        if choice.index:
            self.several_choices = True
        delta = choice.delta
        text = choice.text if delta is None else delta.content
        more = delta is not None and self._observe_rest(delta)
        if text:
            self.text_pieces.append(text)
        self.tokens += bool(text or more)
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason

    def _observe_rest(self, delta: Delta) -> bool:
        """What most events do not have; whether it was a piece of the answer."""
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning:
            self.reasoning_pieces.append(reasoning)
        for call in delta.tool_calls or ():
            so_far = self.tool_calls.setdefault(call.index, ToolCall())
            if call.function is not None:
                so_far.name += call.function.name or ""
                so_far.arguments += call.function.arguments or ""
        if delta.role is not None:
            self.role_given = True
        if delta.refusal or bytes(delta.function_call) not in _NONE:
            self.opaque = True
        return bool(reasoning or delta.tool_calls)
