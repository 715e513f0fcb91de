"""What an answer of OpenAI's API says of itself, never of its subject: its id, its model, why it ended.

Read for traces only, from a whole answer or from the last bytes of a stream (2 µs an event). What cannot be
read is left out; what an engine may make long is cut.
"""

from dataclasses import dataclass

import msgspec

MAX_CHARACTERS = 256
MAX_CHOICES = 128


class _Choice(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None


class _Labelled(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] = []


_decode = msgspec.json.Decoder(_Labelled).decode


@dataclass(frozen=True, slots=True)
class AnswerLabel:
    """finish_reasons: one a choice that ended, in the order of the choices. "" and (): not known."""

    answer_id: str = ""
    model: str = ""
    finish_reasons: tuple[str, ...] = ()


def label(answer_id: str, model: str, finish_reasons: tuple[str, ...]) -> AnswerLabel:
    """With each part within its bound."""
    reasons = tuple(reason[:MAX_CHARACTERS] for reason in finish_reasons[:MAX_CHOICES])
    return AnswerLabel(answer_id[:MAX_CHARACTERS], model[:MAX_CHARACTERS], reasons)


def read_label(answer: bytes) -> AnswerLabel:
    """Of a whole JSON answer."""
    return _joined([answer])


def read_stream_label(tail: bytes) -> AnswerLabel:
    """Of a stream, from its last bytes; the first event of them may be torn."""
    return _joined([line[5:] for line in tail.splitlines() if line.startswith(b"data:")])


def _joined(texts: list[bytes]) -> AnswerLabel:
    answer_id = model = ""
    reasons: dict[int, str] = {}
    for text in texts:
        try:
            said = _decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        answer_id, model = answer_id or said.id or "", model or said.model or ""
        reasons |= {each.index: each.finish_reason for each in said.choices if each.finish_reason}
    return label(answer_id, model, tuple(reasons[index] for index in sorted(reasons)))
