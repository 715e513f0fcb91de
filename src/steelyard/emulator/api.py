"""OpenAI's API as an engine speaks it: what a request asks for, and the objects of an answer."""

from typing import Any

import msgspec

from steelyard.engines.text import prompt_seed
from steelyard.model.errors import BadRequest
from steelyard.wire.openai import BLOCK_TOKENS, BYTES_PER_TOKEN, prefix_hashes

MAX_OUTPUT_TOKENS = 65_536
DEFAULT_OUTPUT_TOKENS = 128


class StreamOptions(msgspec.Struct):
    """OpenAI's stream options."""

    include_usage: bool = False


class Body(msgspec.Struct):
    """The fields that the emulated engine obeys; others are ignored."""

    model: str
    messages: msgspec.Raw = msgspec.Raw(b"")
    prompt: msgspec.Raw = msgspec.Raw(b"")
    input: msgspec.Raw = msgspec.Raw(b"")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None


class Asked(msgspec.Struct, frozen=True):
    """A request, understood."""

    chat: bool
    streams: bool
    include_usage: bool
    prompt_tokens: int
    output_tokens: int
    seed: int
    hashes: tuple[int, ...]


_decoder = msgspec.json.Decoder(Body)


def decode(body: bytes, model: str) -> Body:
    """Raises BadRequest: 400 for what is not understood, 404 for another model."""
    try:
        asked = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body cannot be understood: {error}") from None
    if asked.model != model:
        raise BadRequest(
            f"no model {asked.model!r} here: this engine serves {model!r}",
            http_status=404,
            param="model",
            code="model_not_found",
        )
    return asked


def _prompt(asked: Body, *, chat: bool) -> bytes:
    name, prompt = ("messages", bytes(asked.messages)) if chat else ("prompt", bytes(asked.prompt))
    if not prompt or prompt == b"null":
        raise BadRequest(f"{name}: missing", param=name)
    if chat and (prompt[:1] != b"[" or not prompt[1:-1].strip()):
        raise BadRequest("messages: a list with at least one message is needed", param=name)
    return prompt


def understand(body: bytes, model: str, *, chat: bool) -> Asked:
    """Read a chat or a completion request. Raises BadRequest."""
    asked = decode(body, model)
    prompt = _prompt(asked, chat=chat)
    if asked.n not in (None, 1):
        raise BadRequest(f"n is {asked.n}: this engine gives one answer to a request", param="n")
    limits = (asked.max_completion_tokens, asked.max_tokens, DEFAULT_OUTPUT_TOKENS)
    output_tokens = next(limit for limit in limits if limit is not None)
    if not 1 <= output_tokens <= MAX_OUTPUT_TOKENS:
        raise BadRequest(
            f"max_tokens is {output_tokens}: it must be 1 to {MAX_OUTPUT_TOKENS}", param="max_tokens"
        )
    return Asked(
        chat=chat,
        streams=bool(asked.stream),
        include_usage=asked.stream_options is not None and asked.stream_options.include_usage,
        prompt_tokens=len(prompt) // BYTES_PER_TOKEN + 1,
        output_tokens=output_tokens,
        seed=prompt_seed(prompt),
        hashes=prefix_hashes(prompt, model),
    )


def usage(asked: Asked, output_tokens: int, cached_tokens: int) -> dict[str, Any]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": asked.prompt_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": asked.prompt_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }


def envelope(
    asked: Asked, model: str, answer_id: str, choices: list[dict[str, Any]], *, chunk: bool
) -> dict[str, Any]:
    """What stands around every answer and every chunk."""
    kind = ("chat.completion.chunk" if chunk else "chat.completion") if asked.chat else "text_completion"
    return {"id": answer_id, "object": kind, "created": 0, "model": model, "choices": choices}


def delta(asked: Asked, text: str, finish: str | None, *, first: bool) -> dict[str, Any]:
    """One choice of a chunk."""
    if not asked.chat:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    content: dict[str, str] = {"role": "assistant", "content": text} if first else {"content": text}
    return {"index": 0, "delta": content, "logprobs": None, "finish_reason": finish}


def whole(asked: Asked, text: str) -> dict[str, Any]:
    """The choice of an answer that is not streamed."""
    if not asked.chat:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": "length"}
    message = {"role": "assistant", "content": text}
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": "length"}


def embeddings(body: bytes, model: str) -> bytes:
    """Small vectors that depend on the input alone. Raises BadRequest."""
    asked = decode(body, model)
    inputs: Any = msgspec.json.decode(asked.input or b'""')
    texts = inputs if isinstance(inputs, list) else [inputs]
    data = []
    for index, text in enumerate(texts):
        seed = prompt_seed(msgspec.json.encode(text))
        vector = [((seed >> 8 * at) % 256) / 127.5 - 1 for at in range(8)]
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = len(bytes(asked.input)) // BYTES_PER_TOKEN + 1
    answer = {
        "object": "list",
        "model": model,
        "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return msgspec.json.encode(answer)


__all__ = ["BLOCK_TOKENS", "Asked", "delta", "embeddings", "envelope", "understand", "usage", "whole"]
