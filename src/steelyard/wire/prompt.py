"""A prompt as text, whatever JSON it came in: the same messages give the same bytes, so they share hashes.

System, tools and messages in the order in which chat templates render them, each message as its role and
its text; no template's own marks, since engines differ in those. White space, escapes, the order of keys,
null for nothing, and text as a string or as a list of parts (joined by line ends, as engines join them) make
no difference; what is not text (images, tool calls, schemas) counts as JSON with sorted keys.

A text stands in its shortest JSON, quotes included: what nearly all encoders write, so that it is copied and
not decoded. An escape that has a shorter form (`\\u4e2d`, `\\/`) makes a body worth decoding, and so does a
short text, which costs less than the care. Cost of 64 kB: docs/decisions/0021-a-canonical-prompt.md.
"""

import ctypes
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from steelyard.wire.openai_bodies import NOTHING, Message, Part, WrittenMessage, WrittenPart

ROLE_END: Final = b"\x1f"
MESSAGE_END: Final = b"\x1e"
EXTRA: Final = b"\x1d"
OPEN_LIST: Final = ROLE_END + b"["
NULL: Final = b"null"
QUOTE: Final = b'"'
LINE_END: Final = b"\\n"
TEXT_KINDS: Final = frozenset(("text", "input_text", "output_text", ""))
MAX_SORTED_BYTES: Final = 65_536  # longer JSON (an image, usually) counts as it was written
EXTRAS_END: Final = -2  # of a message and of a part: before its role or type, and its text
ROLES: Final = {role: role.encode() for role in ("system", "developer", "user", "assistant", "tool")}

_decode_any: Final = msgspec.json.Decoder().decode
_decode_parts: Final = msgspec.json.Decoder(list[WrittenPart]).decode
_encode_text: Final = msgspec.json.Encoder().encode
_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode
# Of the C library: 3 µs for 64 kB; `bytes.find` of two bytes takes 65, a regular expression 25 and more.
_strstr: Final[Any] = ctypes.PyDLL(None).strstr
_strstr.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
_strstr.restype = ctypes.c_void_p


def has_long_escapes(body: bytes) -> bool:
    """Whether texts may be written otherwise than in their shortest JSON."""
    if body.find(b"\\") < 0:
        return False
    return _strstr(body, b"\\u") is not None or _strstr(body, b"\\/") is not None


def canonical_prompt(parts: tuple[Any, ...], *, escapes: bool = True) -> bytes:
    """The text of a body's parts, in their order.

    parts: each a string, the same as JSON in bytes, a list of messages, parts or raw JSON, raw JSON, None or
    empty for none. escapes: whether a message's text may need any to be JSON.
    Raises UnicodeEncodeError for text that is none, msgspec.ValidationError for content of an unknown shape.
    """
    pieces: list[bytes] = []
    for part in parts:
        if not part:
            continue
        if isinstance(part, str):
            pieces.append(_encode_text(part))
            pieces.append(MESSAGE_END)
        elif isinstance(part, list):
            if isinstance(part[0], Message):
                pieces.append(_joined(part, False, escapes))
            elif isinstance(part[0], WrittenMessage):
                pieces.append(_messages(part))
            else:
                for each in part:
                    pieces.append(_of_a_list(each))
                    pieces.append(MESSAGE_END)
        elif isinstance(part, bytes):
            pieces.append(part)
            pieces.append(MESSAGE_END)
        elif (raw := bytes(part)) != NULL:
            pieces.append(_sorted_often(raw))
    return b"".join(pieces)


def written_part(part: msgspec.Raw, decode_list: Any) -> bytes | list[Any] | None:
    """A part of which `canonical_prompt` takes text as it was written: a string, or a list of what a decoder
    reads. Raises msgspec.ValidationError for another shape.
    """
    written = bytes(part)
    if written[:1] == QUOTE:
        return written if len(written) > 2 else None
    decoded: list[Any] | None = decode_list(written) if written else None
    return decoded


def _messages(messages: list[Any]) -> bytes:
    text = _joined(messages, False, True)
    # Nothing but a message's role ends so, and no text holds a bare control character.
    return text if _strstr(text, OPEN_LIST) is None else _joined(messages, True, True)


def _joined(messages: list[Any], opens_lists: bool, escapes: bool) -> bytes:
    """Each a role and a text, and rarely more. opens_lists: make one text of contents that are lists."""
    pieces: list[Any] = []
    nothing = NOTHING
    for message in messages:
        values: tuple[Any, ...] = astuple(message)  # all fields at once, as in `openai`
        role: str = values[-2]
        content = values[-1]
        pieces.append(ROLES.get(role) or role.encode())
        pieces.append(ROLE_END)
        if isinstance(content, str):
            if escapes:
                pieces.append(_encode_text(content))
            else:
                pieces.append(QUOTE)
                pieces.append(content.encode())
                pieces.append(QUOTE)
        elif isinstance(content, list):
            pieces.append(_parts(content))
        elif content is None or content is nothing:
            pieces.append(NULL)
        elif opens_lists:
            pieces.append(_opened(bytes(content)))
        else:
            pieces.append(content)  # joined as it is: bytes of its own cost three times as much
        if not (
            values[0] is nothing
            and values[1] is nothing
            and values[2] is nothing
            and values[3] is nothing
            and values[4] is nothing
            and values[5] is nothing
        ):
            for extra in _said(values):
                pieces.append(EXTRA)
                pieces.append(sorted_json(extra))
        pieces.append(MESSAGE_END)
    return b"".join(pieces)


def _said(values: tuple[Any, ...]) -> list[bytes]:
    """What a message or a part has beside its text; clients write null for what it has not."""
    raws = [bytes(extra) for extra in values[:EXTRAS_END] if extra]
    return [raw for raw in raws if raw != NULL]


def _opened(written: bytes) -> bytes:
    return _parts(_decode_parts(written)) if written[:1] == b"[" else written


def _of_a_list(each: object) -> bytes:
    """A part of a system prompt, or anything."""
    if isinstance(each, (WrittenPart, Part)):
        return _parts([each])
    if isinstance(each, str):
        return _encode_text(each)
    return sorted_json(bytes(each))  # type: ignore[call-overload]  # a Raw is read as its bytes


def _parts(content: list[Any]) -> bytes:
    """As one text; what is not text is in it, too."""
    texts: list[bytes] = []
    for part in content:
        values: tuple[Any, ...] = astuple(part)
        kind: str = values[-2]
        text = _inner_text(values[-1])
        if text is not None and kind in TEXT_KINDS:
            texts.append(text)
            continue
        texts.append(kind.encode())
        texts += map(sorted_json, _said(values))
        if text is not None:
            texts.append(text)
    return b"".join((QUOTE, LINE_END.join(texts), QUOTE))


def _inner_text(text: object) -> bytes | None:
    """Without its quotes; None when there is none. Raises msgspec.ValidationError for no text."""
    if text is None:
        return None
    if isinstance(text, str):
        return _encode_text(text)[1:-1]
    written: bytes = bytes(text)  # type: ignore[call-overload]  # a Raw is read as its bytes
    if written[:1] == QUOTE:
        return written[1:-1]
    if written and written != b"null":
        raise msgspec.ValidationError("text is none")
    return None


def sorted_json(raw: bytes) -> bytes:
    """The same value with sorted keys and without white space; long or odd JSON as it is."""
    if len(raw) > MAX_SORTED_BYTES:
        return raw
    try:
        return _encode_sorted(_decode_any(raw))
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError, OverflowError):
        return raw


def _sorted_often(raw: bytes) -> bytes:
    """Of a program's tools, which are the same in request after request."""
    # Only what is sorted is kept: a client must not choose how much memory that is.
    return _sorted_and_kept(raw) if len(raw) <= MAX_SORTED_BYTES else raw


@lru_cache(maxsize=64)
def _sorted_and_kept(raw: bytes) -> bytes:
    """Of no more than `MAX_SORTED_BYTES`: then 64 · 128 kB are kept."""
    return sorted_json(raw)
