"""How an answer that an engine left unfinished is asked of the next engine.

Ways, best first: the text so far behind a completion's prompt; the partial assistant message continued as
vLLM and SGLang do when told to, or as llama.cpp does unasked; the whole request again, where what has
been given is suppressed as long as it is repeated letter by letter. A way that an engine refused is not
tried on it again. Text can be continued only where text is all there is: with reasoning, grammars, echo
or whole tool calls, only an equal answer will do; a half tool call, several choices, or log probabilities
cannot be continued at all. Stop sequences need no care: engines hold back what may become one, so the
text given never ends inside one. Ties: none. Cost: tens of µs, at a failure only.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from steelyard.wire.answer_so_far import AnswerSoFar

Fields = dict[str, msgspec.Raw]

_fields_decoder = msgspec.json.Decoder(Fields)
_messages_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_ABSENT = (b"", b"null", b"false")
# What steers an answer from its first letter on, so that its rest alone cannot be asked for.
_WHOLE_ONLY = (
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
    "regex",
    "ebnf",
    "json_schema",
    "grammar",
    "suffix",
    "echo",
    "best_of",
)


class Way(StrEnum):
    """How the next engine is asked."""

    PROMPT = "prompt"  # a completion's prompt with the text so far behind it
    CONTINUE = "continue"  # the last message continued: continue_final_message
    PREFILL = "prefill"  # the last message continued without being told to
    REPLAY = "replay"  # the whole request again
    FINISH = "finish"  # nothing is missing but the end: nobody is asked


# What engines are known to do with a chat. An unknown one may take a partial message for a whole turn.
CHAT_WAYS: dict[str, tuple[Way, ...]] = {
    "vllm": (Way.CONTINUE,),
    "sglang": (Way.CONTINUE,),
    "llama.cpp": (Way.PREFILL,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What to ask the next engine.

    given_tokens: output tokens that the client has.
    finish_reason: why the text has ended, when it has: only the usage is still wanted.
    """

    way: Way
    body: bytes = b""
    given_tokens: int = 0
    finish_reason: str = ""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Why no engine can continue the answer."""

    reason: str


def plan(
    body: bytes,
    so_far: AnswerSoFar,
    *,
    chat: bool,
    engine: str = "",
    refused: AbstractSet[Way] = frozenset(),
    replays_chance: bool = False,
) -> Continuation | GiveUp:
    """The best way to go on.

    body: the client's request. engine: what the next engine is, a key of `CHAT_WAYS`, or "".
    refused: ways that it refused before. replays_chance: replay also what was asked to be random.
    """
    try:
        fields = _fields_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return GiveUp("the request is no JSON object")
    problem = _hopeless(fields, so_far)
    if problem:
        return GiveUp(problem)
    if not so_far.begun:
        return Continuation(way=Way.REPLAY, body=body)
    tokens = given_tokens(so_far)
    limit = _number(fields, "max_completion_tokens") or _number(fields, "max_tokens")
    finish = so_far.finish_reason or ("length" if limit and tokens >= limit else "")
    if finish and (so_far.usage is not None or not _wants_usage(fields)):
        return Continuation(way=Way.FINISH, given_tokens=tokens, finish_reason=finish)
    ways = _text_ways(fields, so_far, chat, engine) if _is_plain_text(fields, so_far) else ()
    for way in ways:
        if way not in refused:
            asked = _continued(fields, so_far.text, way, tokens, finished=bool(finish))
            if asked is not None:
                return Continuation(way=way, body=asked, given_tokens=tokens, finish_reason=finish)
    hopeless = ""
    if Way.REPLAY in refused:
        hopeless = "the engine refused it in every way"
    elif _is_random(fields) and not replays_chance:
        hopeless = "the answer is random: another engine would say something else"
    if not hopeless:
        return Continuation(way=Way.REPLAY, body=body, given_tokens=tokens, finish_reason=finish)
    if finish:  # all was said; better without the usage than without an end
        return Continuation(way=Way.FINISH, given_tokens=tokens, finish_reason=finish)
    return GiveUp(hopeless)


def given_tokens(so_far: AnswerSoFar) -> int:
    """Output tokens that the client has: by the engine's own count where it counts in every event."""
    counted = so_far.usage.completion_tokens if so_far.usage is not None else 0
    return max(so_far.tokens, counted)


def _hopeless(fields: Fields, so_far: AnswerSoFar) -> str:
    """Why nothing can continue this answer; "" when something may."""
    if so_far.several_choices or (_number(fields, "n") or 1) > 1:
        return "it has several choices"
    if not _absent(fields, "logprobs") or not _absent(fields, "top_logprobs"):
        return "it has log probabilities"
    if so_far.opaque:
        return "something came that cannot be compared"
    if any(not call.whole for call in so_far.tool_calls.values()):
        return "half a tool call has been given"
    return ""


def _is_plain_text(fields: Fields, so_far: AnswerSoFar) -> bool:
    """Whether text is all there is, and nothing but text steers what follows it."""
    if so_far.reasoning_pieces or so_far.tool_calls or so_far.text.endswith("\ufffd"):
        return False  # a replacement character is half of one: nobody can continue from it
    if any(not _absent(fields, name) for name in _WHOLE_ONLY):
        return False
    form = bytes(fields.get("response_format", b""))
    if form not in _ABSENT and b'"text"' not in form:
        return False
    return bytes(fields.get("tool_choice", b"")) in (*_ABSENT, b'"auto"', b'"none"')


def _text_ways(fields: Fields, so_far: AnswerSoFar, chat: bool, engine: str) -> tuple[Way, ...]:
    if chat:
        return CHAT_WAYS.get(engine, ())
    return (Way.PROMPT,) if bytes(fields.get("prompt", b""))[:1] == b'"' else ()


def _is_random(fields: Fields) -> bool:
    """Whether the request asks for chance and names no seed."""
    temperature = bytes(fields.get("temperature", b""))
    try:
        asks = temperature not in _ABSENT and float(temperature) > 0
    except ValueError:
        asks = False
    return asks and _absent(fields, "seed")


def _continued(fields: Fields, text: str, way: Way, tokens: int, *, finished: bool) -> bytes | None:
    """The request for the rest of an answer; None when it cannot be written."""
    asked = dict(fields)
    if way is Way.PROMPT:
        asked["prompt"] = _raw(msgspec.json.decode(fields["prompt"], type=str) + text)
    else:
        messages = _with_partial(fields, text, way)
        if messages is None:
            return None
        asked["messages"] = _raw(messages)
        if way is Way.CONTINUE:
            asked |= {"continue_final_message": _raw(True), "add_generation_prompt": _raw(False)}
    for name in ("max_tokens", "max_completion_tokens", "min_tokens"):
        limit = _number(fields, name)
        if limit is not None:
            asked[name] = _raw(max(0 if name == "min_tokens" else 1, limit - tokens))
    if finished:  # only the usage is wanted: one token more, which nobody will see
        asked |= {"max_tokens": _raw(1), "min_tokens": _raw(0)}
        asked.pop("max_completion_tokens", None)
        asked.pop("min_tokens", None)
    return msgspec.json.encode(asked)


class _Message(msgspec.Struct):
    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"")


def _with_partial(fields: Fields, text: str, way: Way) -> list[msgspec.Raw] | None:
    """The conversation with the partial answer as its last message."""
    try:
        messages = _messages_decoder.decode(fields.get("messages", b""))
        last = msgspec.json.decode(messages[-1], type=_Message) if messages else _Message()
    except msgspec.MsgspecError:
        return None
    # The client's own last message may be the assistant's already: then the answer belongs into it.
    told = not _absent(fields, "continue_final_message")
    if last.role == "assistant" and (told or way is Way.PREFILL):
        if bytes(last.content)[:1] != b'"':
            return None
        text = msgspec.json.decode(last.content, type=str) + text
        messages.pop()
    return [*messages, _raw({"role": "assistant", "content": text})]


def _wants_usage(fields: Fields) -> bool:
    options = bytes(fields.get("stream_options", b""))
    if options in _ABSENT:
        return False
    try:
        return bool(msgspec.json.decode(options, type=dict[str, object]).get("include_usage"))
    except msgspec.MsgspecError:
        return False


def _absent(fields: Mapping[str, msgspec.Raw], name: str) -> bool:
    return bytes(fields.get(name, b"")) in _ABSENT


def _number(fields: Mapping[str, msgspec.Raw], name: str) -> int | None:
    given = bytes(fields.get(name, b""))
    return int(given) if given.isdigit() and len(given) < 10 else None


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
