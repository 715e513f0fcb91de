"""A prompt as text, whatever JSON it came in: the same messages give the same bytes, so they share hashes.

System, tools and messages in the order in which chat templates render them, each message as its role and
its text; no template's own marks, since engines differ in those. White space, escapes, the order of keys, and
text as a string or as a list of parts (joined by line ends, as engines join them) make no difference; what is
not text (images, tool calls, schemas) counts as JSON with sorted keys. Cost of 64 kB: one pass of the decoder
in place of the one that skips, and two copies (docs/decisions/0021-a-canonical-prompt.md has the figures).
"""

from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from steelyard.wire.openai_bodies import Message, Part

ROLE_END: Final = b"\x1f"
MESSAGE_END: Final = b"\x1e"
TEXT_KINDS: Final = frozenset(("text", "input_text", "output_text", ""))
MAX_SORTED_BYTES: Final = 65_536  # longer JSON (an image, usually) counts as it was written
MESSAGE_EXTRAS_AT: Final = 2
PART_EXTRAS_AT: Final = 2
NO_EXTRAS: Final[tuple[Any, ...]] = astuple(Message())[MESSAGE_EXTRAS_AT:]

_decode_any: Final = msgspec.json.Decoder().decode
_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode


def canonical_prompt(parts: tuple[Any, ...]) -> bytes:
    """The text of a body's parts, in their order.

    parts: each a string, a list of messages, parts or raw JSON, raw JSON, or None or empty for none. Raises
    UnicodeEncodeError for text that is none.
    """
    pieces: list[bytes] = []
    for part in parts:
        if not part:
            continue
        if isinstance(part, str):
            pieces.append(part.encode())
            pieces.append(MESSAGE_END)
        elif isinstance(part, list):
            for each in part:
                _add(pieces, each)
        else:
            raw = bytes(part)
            # Only what is sorted is kept: a client must not choose how much memory that is.
            pieces.append(_sorted_often(raw) if len(raw) <= MAX_SORTED_BYTES else raw)
    return b"".join(pieces)


def _add(pieces: list[bytes], each: object) -> None:
    """One of a list: a message, a part of a system prompt, or anything."""
    if isinstance(each, Message):
        # All fields at once, as in `openai`; most messages have a role and a text and nothing else.
        values: tuple[Any, ...] = astuple(each)
        pieces.append(values[0].encode())
        pieces.append(ROLE_END)
        content = values[1]
        if isinstance(content, str):
            pieces.append(content.encode())
        elif content is not None:
            pieces.append(_parts(content))
        extras = values[MESSAGE_EXTRAS_AT:]
        if extras != NO_EXTRAS:
            for extra in extras:
                if extra:
                    pieces.append(ROLE_END)
                    pieces.append(sorted_json(bytes(extra)))
    elif isinstance(each, Part):
        pieces.append(_parts([each]))
    elif isinstance(each, str):
        pieces.append(each.encode())
    else:
        pieces.append(sorted_json(bytes(each)))  # type: ignore[call-overload]
    pieces.append(MESSAGE_END)


def _parts(content: list[Part]) -> bytes:
    texts: list[bytes] = []
    for part in content:
        if part.text is not None and part.type in TEXT_KINDS:
            texts.append(part.text.encode())
            continue
        texts.append(part.type.encode())
        extras: tuple[Any, ...] = astuple(part)
        texts += [sorted_json(bytes(extra)) for extra in extras[PART_EXTRAS_AT:] if extra]
        if part.text is not None:
            texts.append(part.text.encode())
    return b"\n".join(texts)


def sorted_json(raw: bytes) -> bytes:
    """The same value with sorted keys and without white space; long or odd JSON as it is."""
    if len(raw) > MAX_SORTED_BYTES:
        return raw
    try:
        return _encode_sorted(_decode_any(raw))
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError, OverflowError):
        return raw


@lru_cache(maxsize=64)
def _sorted_often(raw: bytes) -> bytes:
    """Of a program's tools, which are the same in request after request. Of no more than `MAX_SORTED_BYTES`:
    then 64 · 128 kB are kept.
    """
    return sorted_json(raw)
