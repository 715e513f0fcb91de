"""One streamed chat completion over a connection of its own, timed.

A connection a request: an open-loop client must not wait for a free one, and connecting on loopback
takes 50 µs of times that are milliseconds.
"""

import asyncio
import json
from dataclasses import dataclass
from time import monotonic
from urllib.parse import SplitResult

from steelyard.model.errors import UpstreamError
from steelyard.traces.request import TraceRequest
from steelyard.wire.chunked import ChunkedReader, MalformedChunk
from steelyard.wire.http1_head import HEAD_END, parse_response_head

TOKEN_BYTES = 4


@dataclass(slots=True)
class Outcome:
    """What came of one request.

    kind: "ok"; "refused" (429, 503); "failed" before any of the answer was seen; "cut" after.
    ttft_s, tpot_s, total_s: since the time at which the trace wanted it sent; NaN where there is none.
    """

    kind: str
    sent_s: float
    ttft_s: float = float("nan")
    tpot_s: float = float("nan")
    total_s: float = float("nan")
    tokens: int = 0
    status: int = 0
    error: str = ""


def prompt_text(request: TraceRequest, number: int) -> str:
    """Text of about the right number of tokens; equal blocks give equal text, the rest is the request's
    own.
    """
    pieces = [
        f"{block:08x} ".ljust(request.block_tokens * TOKEN_BYTES, "b") for block in request.prefix_blocks
    ]
    size = max(1, request.prompt_tokens * TOKEN_BYTES - 50)  # the JSON around it counts, too
    text = "".join(pieces)[:size]
    return text + f"{number:08x} ".ljust(size - len(text), "p") if len(text) < size else text


def request_bytes(request: TraceRequest, number: int, model: str, url: SplitResult) -> bytes:
    """The whole HTTP request."""
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": prompt_text(request, number)}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": request.output_tokens,
            "ignore_eos": True,
        }
    ).encode()
    head = (
        f"POST {url.path.rstrip('/')}/v1/chat/completions HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


async def send(data: bytes, url: SplitResult, due_s: float, timeout_s: float) -> Outcome:
    """Send one request now and follow its answer to the end."""
    outcome = Outcome("failed", due_s)
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(url.hostname, url.port or 80)
            try:
                writer.write(data)
                await _follow(reader, outcome)
            finally:
                writer.transport.abort()
    except TimeoutError:
        outcome.error = f"not finished within {timeout_s:g} s"
    except (OSError, UpstreamError, MalformedChunk, asyncio.IncompleteReadError) as error:
        outcome.error = str(error) or type(error).__name__
    if outcome.kind == "failed" and outcome.tokens:
        outcome.kind = "cut"
    outcome.total_s = monotonic() - due_s
    return outcome


async def _follow(reader: asyncio.StreamReader, outcome: Outcome) -> None:
    head = parse_response_head(await reader.readuntil(HEAD_END))
    outcome.status = head.status
    if head.status != 200:
        outcome.kind = "refused" if head.status in (429, 503) else "failed"
        outcome.error = (await reader.read(2000)).decode("utf-8", "replace")[:300]
        return
    chunks = ChunkedReader()
    tail = b""
    first_s = last_s = 0.0
    while not chunks.done:
        data = await reader.read(65_536)
        if not data:
            break
        payload = chunks.feed(data)
        tokens = payload.count(b'"content":"') - payload.count(b'"content":""')
        if tokens:
            last_s = monotonic()
            first_s = first_s or last_s
            outcome.tokens += tokens
            outcome.ttft_s = first_s - outcome.sent_s
        tail = (tail + payload)[-200:]
    if outcome.tokens > 1:
        outcome.tpot_s = (last_s - first_s) / (outcome.tokens - 1)
    if chunks.done and b"[DONE]" in tail:
        outcome.kind = "ok"
    else:
        outcome.error = "the stream ended without [DONE]"
