"""What a client has been given of a streamed answer, event by event.

Compiled with the data plane where that can be done. Cost: 0.5 µs an event beside its decoding
(benchmarks/streams.py).
"""

from dataclasses import dataclass, field

from steelyard.wire.openai import read_usage
from steelyard.wire.openai_bodies import Usage
from steelyard.wire.sse import DONE
from steelyard.wire.stream_events import (
    NONE,
    NOTHING,
    ChoiceDelta,
    Chunk,
    Delta,
    MalformedEvent,
    decode_chunk,
    decode_object,
    failure_of,
)


@dataclass
class ToolCall:
    """A tool call as far as it has come."""

    name: str = ""
    arguments: str = ""

    @property
    def whole(self) -> bool:
        """Whether the arguments are a whole JSON object; no beginning of a longer one is."""
        try:
            decode_object(self.arguments.encode())
        except (MalformedEvent, UnicodeError):
            return False
        return bool(self.name)


@dataclass
class AnswerSoFar:
    """What a client has been given of one streamed answer.

    tokens: events that carried text, or what nobody here can read: one a token with most engines.
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
            self.tokens += 1
            self.usage = read_usage(data) or self.usage
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
        if delta.refusal or bytes(delta.function_call) not in NONE:
            self.opaque = True
        return bool(reasoning or delta.tool_calls)
