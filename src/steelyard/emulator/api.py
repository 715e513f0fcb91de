"""OpenAI's API as an engine speaks it: what a request asks for, and the objects of an answer."""

from typing import Any, Literal

import msgspec

from steelyard.engines.text import Text, prompt_seed
from steelyard.model.errors import BadRequest
from steelyard.wire.openai import BLOCK_TOKENS, BYTES_PER_TOKEN, prefix_hashes

MAX_OUTPUT_TOKENS = 65_536

# What an engine does with a last message of the assistant: vLLM and SGLang continue it when told to;
# llama.cpp and others always do; some refuse it; to the rest it is an earlier turn of the conversation.
Continues = Literal["asked", "always", "refuses", "never"]


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
    continue_final_message: bool = False
    add_generation_prompt: bool = True


class Message(msgspec.Struct):
    """What matters of a message."""

    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"")


class Asked(msgspec.Struct, frozen=True):
    """A request, understood.

    prompt, so_far: what the answer depends on: everything before it, and the part of it that is there.
    limited: the end is where a limit says, not where the text does.
    """

    chat: bool
    streams: bool
    include_usage: bool
    prompt_tokens: int
    output_tokens: int
    prompt: bytes
    so_far: bytes
    limited: bool
    hashes: tuple[int, ...]

    @property
    def finish(self) -> str:
        """OpenAI's reason why the answer ends."""
        return "length" if self.limited else "stop"


_decoder = msgspec.json.Decoder(Body)
_messages_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_message_decoder = msgspec.json.Decoder(Message)


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


def _conversation(asked: Body, raw: bytes, continues: Continues) -> tuple[bytes, bytes]:
    """(the messages, the assistant's part to be continued): independent of blanks between messages."""
    try:
        messages = _messages_decoder.decode(raw)
        last = _message_decoder.decode(messages[-1])
    except msgspec.MsgspecError:
        return raw, b""
    said = bytes(last.content)
    part = msgspec.json.decode(said, type=str) if last.role == "assistant" and said[:1] == b'"' else None
    if continues == "refuses" and last.role == "assistant":
        raise BadRequest("messages: the last one must not be the assistant's", param="messages")
    told = continues == "asked" and asked.continue_final_message
    if told and asked.add_generation_prompt:
        raise BadRequest("continue_final_message and add_generation_prompt exclude each other")
    if told and part is None:
        raise BadRequest("continue_final_message: the last message must be the assistant's, and text")
    if part is not None and (told or continues == "always"):
        return b",".join(map(bytes, messages[:-1])), part.encode()
    return b",".join(map(bytes, messages)), b""


def _text_prompt(raw: bytes) -> bytes:
    """A completion's prompt as text, so that text put behind it continues its answer."""
    try:
        return msgspec.json.decode(raw, type=str).encode()
    except msgspec.MsgspecError:
        return raw


def understand(body: bytes, model: str, *, chat: bool, continues: Continues = "asked") -> Asked:
    """Read a chat or a completion request. Raises BadRequest."""
    asked = decode(body, model)
    raw = _prompt(asked, chat=chat)
    if asked.n not in (None, 1):
        raise BadRequest(f"n is {asked.n}: this engine gives one answer to a request", param="n")
    prompt, so_far = _conversation(asked, raw, continues) if chat else (_text_prompt(raw), b"")
    limit = asked.max_tokens if asked.max_completion_tokens is None else asked.max_completion_tokens
    output_tokens = Text(prompt, so_far).tokens_to_end() if limit is None else limit
    if not 1 <= output_tokens <= MAX_OUTPUT_TOKENS:
        raise BadRequest(
            f"max_tokens is {output_tokens}: it must be 1 to {MAX_OUTPUT_TOKENS}", param="max_tokens"
        )
    counted = len(prompt) + len(so_far) + 2
    return Asked(
        chat=chat,
        streams=bool(asked.stream),
        include_usage=asked.stream_options is not None and asked.stream_options.include_usage,
        prompt_tokens=counted // BYTES_PER_TOKEN + 1,
        output_tokens=output_tokens,
        prompt=prompt,
        so_far=so_far,
        limited=limit is not None,
        hashes=prefix_hashes(raw, model),
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
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": asked.finish}
    message = {"role": "assistant", "content": text}
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": asked.finish}


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
