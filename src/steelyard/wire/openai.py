"""What a gateway must read of OpenAI's API: the model, the prompt's size and beginning, the usage, errors.

Only the needed fields are decoded (msgspec skips the rest unread: 2 µs for a 1.2 kB chat body). A
body that is not JSON is a caller's error; a field of a surprising type is not the gateway's business, so
prompts are decoded loosely and whatever cannot be read counts by its bytes.
"""

from functools import lru_cache
from typing import Any, Final

import msgspec
import xxhash
from msgspec.structs import astuple

from steelyard.model.errors import BadRequest
from steelyard.model.request import PREFIX_HASH_BITS, Request
from steelyard.wire.decimal_bytes import digits_from
from steelyard.wire.openai_bodies import (
    PROMPT_PARTS_AT,
    Answer,
    Body,
    ModelOnly,
    PromptBody,
    Usage,
    WrittenMessage,
    WrittenPart,
    WrittenPromptBody,
)
from steelyard.wire.prompt import canonical_prompt, has_long_escapes, written_part

BYTES_PER_TOKEN: Final = 4
BLOCK_BYTES: Final = 1024
WRITTEN_BODY_BYTES: Final = 8192  # shorter texts are decoded sooner than spared that
BLOCK_TOKENS: Final = BLOCK_BYTES // BYTES_PER_TOKEN
LONG_BODY_BYTES: Final = BLOCK_BYTES + 128  # with less there is no room for a block beside JSON
MAX_BLOCKS: Final = 512
MAX_MODEL_CHARACTERS: Final = 256
DEFAULT_OUTPUT_TOKENS: Final = 128
HASH_MASK: Final = (1 << PREFIX_HASH_BITS) - 1


_decode_body: Final = msgspec.json.Decoder(Body).decode
_decode_prompt: Final = msgspec.json.Decoder(PromptBody).decode
_decode_written_prompt: Final = msgspec.json.Decoder(WrittenPromptBody).decode
_decode_parts: Final = msgspec.json.Decoder(list[WrittenPart] | None).decode
_decode_messages: Final = msgspec.json.Decoder(list[WrittenMessage] | None).decode
_decode_raws: Final = msgspec.json.Decoder(list[msgspec.Raw] | None).decode
_decode_null: Final = msgspec.json.Decoder(None).decode
_model_decoder: Final = msgspec.json.Decoder(ModelOnly)
_answer_decoder: Final = msgspec.json.Decoder(Answer)
_digest: Final = xxhash.xxh3_64_intdigest


def read_inference(body: bytes, tenant: str = "", affinity_key: str = "") -> Request:
    """Read a JSON request body as the policies see it. Raises BadRequest when it is not a JSON object.

    affinity_key: known from the head already; else the body's `user` stands for it.
    """
    long = len(body) >= LONG_BODY_BYTES
    try:
        # All fields at once: one by one they cost four times as much.
        if long:
            values, prompt = _read_long(body)
        else:
            values = astuple(_decode_body(body))
            prompt = b"".join(values[PROMPT_PARTS_AT:])
    except msgspec.ValidationError:
        return _read_loosely(body, affinity_key)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None
    model: str = values[0]
    check_model(model)
    size = len(prompt)
    output_tokens: int = values[1] or values[2] or values[3] or 0
    return Request(
        model=model,
        prompt_tokens=size // BYTES_PER_TOKEN + 1,
        output_tokens=output_tokens if 0 < output_tokens <= 1 << 20 else _bounded(output_tokens),
        prefix_hashes=prefix_hashes(prompt, f"{tenant}\0{model}") if long and size >= BLOCK_BYTES else (),
        prefix_block_tokens=BLOCK_TOKENS,
        affinity_key=affinity_key or values[5] or "",
        tenant=tenant,
        streams=values[4] is True,
    )


def _read_long(body: bytes) -> tuple[tuple[Any, ...], bytes]:
    """(the fields, the prompt's text); as it was written when that has an unknown shape, such as embeddings
    of tokens. Raises what msgspec raises.
    """
    try:
        if len(body) < WRITTEN_BODY_BYTES or has_long_escapes(body):
            values: tuple[Any, ...] = astuple(_decode_prompt(body))
            prompt = canonical_prompt(values[PROMPT_PARTS_AT:], escapes=b"\\" in body)
        else:
            values = astuple(_decode_written_prompt(body))
            prompt = _written_prompt(values[PROMPT_PARTS_AT:])
    except (msgspec.DecodeError, UnicodeDecodeError):
        values = astuple(_decode_body(body))  # what is wrong with all of it, this says as well
        prompt = canonical_prompt(values[PROMPT_PARTS_AT:])
    except UnicodeEncodeError:  # half of a pair of surrogates: no engine reads it either
        prompt = b""
    return values, prompt


def _written_prompt(parts: tuple[Any, ...]) -> bytes:
    system, instructions, tools, messages, prompt, items = parts
    return canonical_prompt(
        (
            written_part(system, _decode_parts),
            written_part(instructions, _decode_null),
            tools,
            messages,
            written_part(prompt, _decode_raws),
            written_part(items, _decode_messages),
        )
    )


def check_model(model: str) -> None:
    """Refuse a name that is no name: names are kept. Raises BadRequest."""
    if len(model) > MAX_MODEL_CHARACTERS:
        problem = f"the name of the model is over {MAX_MODEL_CHARACTERS} characters"
        raise BadRequest(problem, param="model", code="invalid_value")


def _bounded(output_tokens: int) -> int:
    return min(max(output_tokens, 0), 1 << 20) or DEFAULT_OUTPUT_TOKENS


def _read_loosely(body: bytes, affinity_key: str) -> Request:
    """A valid object with a field of another type: the engine will judge it; the model alone must be text."""
    try:
        model = _model_decoder.decode(body).model
    except msgspec.ValidationError:
        raise BadRequest(
            "the body must be a JSON object whose `model` is a string", param="model", code="invalid_type"
        ) from None
    check_model(model)
    return Request(
        model=model,
        prompt_tokens=len(body) // BYTES_PER_TOKEN + 1,
        output_tokens=DEFAULT_OUTPUT_TOKENS,
        affinity_key=affinity_key,
    )


@lru_cache(maxsize=1024)
def _key_digest(key: str) -> int:
    return _digest(key.encode())


def prefix_hashes(prompt: bytes, key: str) -> tuple[int, ...]:
    """Chained xxh3 over whole blocks of `BLOCK_BYTES`; at most `MAX_BLOCKS` of them.

    key: mixed in first, so that prompts of two tenants or two models never share a hash.
    """
    chained = _key_digest(key)
    hashes: list[int] = []
    for start in range(0, min(len(prompt) // BLOCK_BYTES, MAX_BLOCKS) * BLOCK_BYTES, BLOCK_BYTES):
        chained = _digest(prompt[start : start + BLOCK_BYTES], chained) & HASH_MASK
        hashes.append(chained)
    return tuple(hashes)


def read_usage(answer: bytes) -> Usage | None:
    """The usage of a whole JSON answer or of one SSE data payload; None when it has none."""
    try:
        return _answer_decoder.decode(answer).usage
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def read_stream_usage(tail: bytes) -> Usage | None:
    """The usage in the last events of a stream, from its last bytes; None when it has none."""
    at = tail.rfind(b'"usage"')
    while at >= 0:
        start = tail.rfind(b"data:", 0, at)
        if start < 0:
            return None
        end = tail.find(b"\n", at)
        usage = read_usage(tail[start + 5 : end if end >= 0 else len(tail)])
        if usage is not None:
            return usage
        at = tail.rfind(b'"usage"', 0, start)
    return None


def count_after(body: bytes, key: bytes, start: int = 0) -> int:
    """The whole number after the first occurrence of a key with its quotes and colon, from `start` on; -1
    without one.

    A key inside a JSON string has its quotes escaped, so what is found is a key.
    """
    at = body.find(key, start)
    if at < 0:
        return -1
    at += len(key)
    while at < len(body) and body[at] <= 32:  # blanks
        at += 1
    return digits_from(body, at)[0]


def error_body(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> bytes:
    """An error in OpenAI's shape."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def error_kind(status: int) -> str:
    """OpenAI's error type for a status."""
    if status == 401:
        return "authentication_error"
    if status == 403:
        return "permission_error"
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"
