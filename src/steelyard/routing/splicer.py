"""The next engine's events, turned into the rest of the stream that the client is reading.

The client sees one answer: its id, time and model stay, its role comes once, its usage counts both parts.
In a replay what has been given is suppressed while it is repeated letter by letter; the first letter
that differs ends the attempt, since what was said cannot be taken back.
Cost: 7 µs an event, of continued streams only.
"""

from typing import Any

import msgspec

from steelyard.routing.continuation import Continuation, Way
from steelyard.wire.answer_so_far import AnswerSoFar, ToolCall
from steelyard.wire.openai_bodies import Usage
from steelyard.wire.sse import DONE, event
from steelyard.wire.stream_events import ChoiceDelta, Delta, decode_chunk, decode_object, failure_of

_NOTHING = b""
_REASONING = ("reasoning_content", "reasoning")


class Diverged(ValueError):
    """The next engine says something else than what the client was given."""


class StreamSplicer:
    """Turns events of one continuation into events for the client.

    repeated_tokens: events of text that were suppressed, since the client had them.
    """

    def __init__(self, so_far: AnswerSoFar, continuation: Continuation) -> None:
        self._so_far = so_far
        self._given_tokens = continuation.given_tokens
        self._finish_reason = continuation.finish_reason
        self._replays = continuation.way is Way.REPLAY
        self._text, self._text_at = (so_far.text, 0) if self._replays else ("", 0)
        self._reasoning, self._reasoning_at = (so_far.reasoning, 0) if self._replays else ("", 0)
        self._calls = dict(so_far.tool_calls) if self._replays else {}
        self._calls_again: dict[int, ToolCall] = {}
        self.repeated_tokens = 0

    def opening(self) -> bytes:
        """What the client gets before anything comes: the end of a text that is complete."""
        so_far = self._so_far
        if not self._finish_reason or so_far.finish_reason:
            return _NOTHING
        so_far.finish_reason = self._finish_reason
        empty: dict[str, Any] = {"text": ""} if so_far.object == "text_completion" else {"delta": {}}
        choice = {"index": 0, **empty, "logprobs": None, "finish_reason": self._finish_reason}
        return self._event({"object": so_far.object, "choices": [choice]})

    def splice(self, data: bytes) -> bytes:
        """One event's data as bytes for the client, b"" for nothing.

        Sets `failed` of the answer when the engine itself reports an error.
        Raises MalformedEvent, and Diverged.
        """
        if data == DONE:
            self._check_complete()
            self._so_far.done = True
            return event(DONE)
        chunk = decode_chunk(data)
        if chunk is None:
            self._so_far.opaque = True
            return event(data)
        if failure := failure_of(chunk, data):
            self._so_far.failed = failure
            return _NOTHING
        if not self._so_far.answer_id:
            self._so_far.take_name(chunk)
        fields = decode_object(data)
        choices = [
            rest
            for choice, given in zip(chunk.choices, fields.get("choices") or (), strict=False)
            if (rest := self._choice(choice, given)) is not None
        ]
        usage = self._usage(chunk.usage, fields)
        if not choices and not usage:
            return _NOTHING
        fields["choices"] = choices
        return self._event(fields)

    def _event(self, fields: dict[str, Any]) -> bytes:
        so_far = self._so_far
        names = {
            "id": so_far.answer_id,
            "object": so_far.object,
            "created": so_far.created,
            "model": so_far.model,
        }
        own = {name: value for name, value in names.items() if value or name in fields}
        return event(msgspec.json.encode(own | fields | own))

    # --- choices -------------------------------------------------------------------------------

    def _choice(self, choice: ChoiceDelta, given: dict[str, Any]) -> dict[str, Any] | None:
        """What the client gets of a choice; None for nothing."""
        if self._finish_reason:
            return None  # the text was complete: only the usage is wanted
        delta = choice.delta
        if delta is None:
            given["text"] = self._new_text(choice.text or "")
            worth = bool(given["text"])
        else:
            worth = self._delta(delta, given["delta"])
        if choice.finish_reason:
            self._check_complete()
            self._so_far.finish_reason = choice.finish_reason
            worth = True
        return given if worth else None

    def _delta(self, delta: Delta, given: dict[str, Any]) -> bool:
        """Take out of a delta what the client has; whether anything is left."""
        so_far = self._so_far
        role = given.pop("role", None)
        worth = role is not None and not so_far.role_given
        if worth:
            given["role"] = role
            so_far.role_given = True
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning:
            rest = self._new_reasoning(reasoning)
            given.update({name: rest for name in _REASONING if given.get(name)})
            worth = worth or bool(rest)
        if delta.content:
            given["content"] = self._new_text(delta.content)
            worth = worth or bool(given["content"])
        if delta.tool_calls:
            given["tool_calls"] = self._new_calls(delta, given["tool_calls"])
            worth = worth or bool(given["tool_calls"])
        return worth

    def _new_text(self, piece: str) -> str:
        if not piece:
            return ""
        if self._reasoning_at < len(self._reasoning):
            raise Diverged("the next engine reasoned less")
        rest, self._text_at = _beyond(self._text, self._text_at, piece)
        self._count(rest, self._so_far.text_pieces)
        return rest

    def _new_reasoning(self, piece: str) -> str:
        if self._text_at < len(self._text) and self._reasoning_at >= len(self._reasoning):
            raise Diverged("the next engine reasoned more")
        rest, self._reasoning_at = _beyond(self._reasoning, self._reasoning_at, piece)
        self._count(rest, self._so_far.reasoning_pieces)
        return rest

    def _count(self, rest: str, pieces: list[str]) -> None:
        if rest:
            pieces.append(rest)
            self._so_far.tokens += 1
        else:
            self.repeated_tokens += 1

    def _new_calls(self, delta: Delta, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Tool calls that the client has not: whole calls are told apart by their place."""
        if self._text_at < len(self._text):
            raise Diverged("the next engine called a tool sooner")
        left = []
        for call, fields in zip(delta.tool_calls or (), given, strict=False):
            known = self._calls.get(call.index)
            calls = self._so_far.tool_calls if known is None else self._calls_again
            again = calls.setdefault(call.index, ToolCall())
            if call.function is not None:
                again.name += call.function.name or ""
                again.arguments += call.function.arguments or ""
            if known is None:
                left.append(fields)
            elif not (known.name == again.name and known.arguments.startswith(again.arguments)):
                raise Diverged("the next engine called a tool in another way")
        self._count("call" if left else "", [])
        return left

    def _check_complete(self) -> None:
        """An answer that ends must have repeated all that the client was given."""
        if self._finish_reason:
            return
        short = self._text_at < len(self._text) or self._reasoning_at < len(self._reasoning)
        if short or self._calls_again != self._calls:
            raise Diverged("the next engine said less")

    # --- usage ---------------------------------------------------------------------------------

    def _usage(self, usage: Usage | None, fields: dict[str, Any]) -> bool:
        """Count both parts of the answer; whether there is a usage at all."""
        if usage is None:
            return False
        if not self._replays:
            given = self._given_tokens
            more = 0 if self._finish_reason else usage.completion_tokens
            prompt = max(0, usage.prompt_tokens - given)
            counts = {"prompt_tokens": prompt, "completion_tokens": given + more}
            fields["usage"] |= counts | {"total_tokens": prompt + given + more}
            details = fields["usage"].get("prompt_tokens_details")
            if isinstance(details, dict) and isinstance(details.get("cached_tokens"), int):
                details["cached_tokens"] = min(details["cached_tokens"], prompt)
        self._so_far.usage = msgspec.convert(fields["usage"], Usage)
        return True


def _beyond(known: str, at: int, piece: str) -> tuple[str, int]:
    """(what of a piece goes beyond the known text, where the comparison goes on). Raises Diverged."""
    left = len(known) - at
    if left <= 0:
        return piece, at
    if known[at : at + len(piece)] != piece[:left]:
        raise Diverged("the next engine says something else")
    return piece[left:], at + min(left, len(piece))
