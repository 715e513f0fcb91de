"""One client of the emulated engine: requests in, whole or streamed answers out."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

import msgspec

from steelyard.emulator import api
from steelyard.engines.batching import Sequence
from steelyard.engines.text import Text
from steelyard.model.errors import BadRequest
from steelyard.wire.chunked import LAST_CHUNK, ChunkedReader, MalformedChunk, chunk
from steelyard.wire.http1_head import HEAD_END, RequestHead, parse_request_head
from steelyard.wire.openai import error_body, error_kind

if TYPE_CHECKING:
    from steelyard.emulator.server import EmulatedEngine

MAX_HEAD_BYTES = 65_536
_PHRASES = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    413: b"Content Too Large",
}
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


class Running:
    """One answer under way."""

    __slots__ = ("_answer_id", "_asked", "_connection", "_model", "_parts", "_text", "sequence")

    def __init__(
        self, connection: "EngineConnection", asked: api.Asked, model: str, sequence: Sequence
    ) -> None:
        self._connection = connection
        self._asked = asked
        self._model = model
        self._answer_id = f"{'chatcmpl' if asked.chat else 'cmpl'}-{sequence.sequence_id}"
        self._text = Text(asked.prompt, asked.so_far)
        self._parts: list[str] = []
        self.sequence = sequence

    def token_given(self) -> None:
        """The model gave a token: stream it, or keep it for the whole answer."""
        asked, sequence = self._asked, self.sequence
        index = sequence.given_tokens - 1
        text = self._text.next_token()
        if not asked.streams:
            self._parts.append(text)
            if sequence.finished:
                self._answer_whole()
            return
        finish = asked.finish if sequence.finished else None
        choice = api.delta(asked, text, finish, first=index == 0)
        events = _event(api.envelope(asked, self._model, self._answer_id, [choice], chunk=True))
        head = _STREAM_HEAD if index == 0 else b""
        if sequence.finished:
            if asked.include_usage:
                last = api.envelope(asked, self._model, self._answer_id, [], chunk=True)
                last["usage"] = api.usage(asked, sequence.output_tokens, sequence.cached_tokens)
                events += _event(last)
            events += b"data: [DONE]\n\n"
        self._connection.transport.write(head + chunk(events) + (LAST_CHUNK if sequence.finished else b""))
        if sequence.finished:
            self._connection.answered()

    def _answer_whole(self) -> None:
        asked, sequence = self._asked, self.sequence
        choices = [api.whole(asked, "".join(self._parts))]
        answer = api.envelope(asked, self._model, self._answer_id, choices, chunk=False)
        answer["usage"] = api.usage(asked, sequence.output_tokens, sequence.cached_tokens)
        self._connection.answer(200, msgspec.json.encode(answer))
        self._connection.answered()


class EngineConnection(asyncio.Protocol):
    """One connection; one request at a time, pipelined ones wait."""

    def __init__(self, engine: "EmulatedEngine") -> None:
        self._engine = engine
        self._buffer = b""
        self._head: RequestHead | None = None
        self._chunks: ChunkedReader | None = None
        self._body = b""
        self._running: Running | None = None
        self._keep_alive = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio: a client that leaves frees its place in the batch."""
        if self._running is not None:
            self._engine.cancel(self._running)
            self._running = None

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._buffer += data
        self._serve()

    def answered(self) -> None:
        """The answer under way is complete."""
        self._running = None
        if not self._keep_alive:
            self.transport.close()
        elif self._buffer:
            self._serve()

    def answer(self, status: int, body: bytes, content_type: bytes = b"application/json") -> None:
        """Write a whole answer."""
        close = b"" if self._keep_alive else b"Connection: close\r\n"
        self.transport.write(
            b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n%b"
            % (status, _PHRASES.get(status, b"Error"), content_type, len(body), close, body)
        )

    def _serve(self) -> None:
        while self._running is None and not self.transport.is_closing():
            try:
                head = self._take_request()
                if head is None:
                    return
                self._keep_alive = head.keep_alive
                body, self._body = self._body, b""
                try:
                    self._dispatch(head, body)
                except BadRequest as error:
                    self._refuse(error)
                # An answer that waits for tokens closes when it is complete; this one is already.
                if self._running is None and not self._keep_alive:
                    self.transport.close()
            except (BadRequest, MalformedChunk) as error:
                self._keep_alive = False
                self._refuse(error if isinstance(error, BadRequest) else BadRequest(str(error)))
                self.transport.close()

    def _refuse(self, error: BadRequest) -> None:
        kind = error_kind(error.http_status)
        self.answer(error.http_status, error_body(str(error), kind, param=error.param, code=error.code))

    def _take_request(self) -> RequestHead | None:
        """Read one request off the buffer; its body is then in `_body`. None while it is not whole."""
        if self._head is None:
            end = self._buffer.find(HEAD_END)
            if end < 0:
                if len(self._buffer) > MAX_HEAD_BYTES:
                    raise BadRequest("the head is too long", http_status=413)
                return None
            self._head = parse_request_head(self._buffer[: end + 4])
            self._buffer = self._buffer[end + 4 :]
            self._chunks = ChunkedReader() if self._head.chunked else None
            if self._head.expects_continue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = self._head
        if self._chunks is not None:
            self._body += self._chunks.feed(self._buffer)
            self._buffer = self._chunks.rest
            if not self._chunks.done:
                return None
        else:
            length = max(0, head.content_length)
            if len(self._buffer) < length:
                return None
            self._body, self._buffer = self._buffer[:length], self._buffer[length:]
        self._head = None
        return head

    def _dispatch(self, head: RequestHead, body: bytes) -> None:
        engine, path = self._engine, head.path
        if head.method == b"POST" and path in (b"/v1/chat/completions", b"/v1/completions"):
            chat = path == b"/v1/chat/completions"
            asked = api.understand(body, engine.model, chat=chat, continues=engine.continues)
            sequence = Sequence(
                sequence_id=engine.next_sequence_id(),
                prompt_tokens=asked.prompt_tokens,
                output_tokens=asked.output_tokens,
                prefix_hashes=asked.hashes,
            )
            running = Running(self, asked, engine.model, sequence)
            try:
                engine.submit(running)
            except ValueError as error:
                raise BadRequest(str(error), code="context_length_exceeded") from None
            self._running = running
        elif head.method == b"POST" and path == b"/v1/embeddings":
            self.answer(200, api.embeddings(body, engine.model))
        elif head.method == b"GET" and path == b"/v1/models":
            entry = {"id": engine.model, "object": "model", "created": 0, "owned_by": "steelyard"}
            self.answer(200, msgspec.json.encode({"object": "list", "data": [entry]}))
        elif head.method == b"GET" and path == b"/health":
            self.answer(200, b"{}")
        elif head.method == b"GET" and path == b"/metrics":
            self.answer(200, engine.metrics(), b"text/plain; version=0.0.4")
        else:
            raise BadRequest(f"no such page: {path.decode('ascii')[:200]}", http_status=404)
