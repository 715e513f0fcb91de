"""An engine's cache events over real ZeroMQ sockets, as vLLM publishes them: `Publisher`, in a thread of its
own, and a small OpenAI engine on top that stores what it is sent: `PublishingEngine`.
"""

import http.server
import json
import threading
from collections.abc import Iterable
from types import TracebackType

import msgspec
import zmq

END = (-1).to_bytes(8, "big", signed=True)
BLOCK_TOKENS = 16


def stored(blocks: list[int], tokens: list[int], parent: int | None = None) -> list[object]:
    """One BlockStored event in the array form."""
    return ["BlockStored", blocks, parent, tokens, BLOCK_TOKENS, None, "GPU"]


class Publisher:
    """PUB and ROUTER on free ports of the loopback.

    keeps: batches that can be replayed. first: the number of the first batch.
    """

    def __init__(self, topic: str = "kv-events", keeps: int = 1000, first: int = 0) -> None:
        self._topic, self._keeps, self._next = topic.encode(), keeps, first
        self._kept: list[tuple[int, bytes]] = []
        self._context = zmq.Context()
        self._sockets = self._context.socket(zmq.XPUB), self._context.socket(zmq.ROUTER)
        ports = [each.bind_to_random_port("tcp://127.0.0.1") for each in self._sockets]
        self.endpoint, self.replay = (f"tcp://127.0.0.1:{port}" for port in ports)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.subscribed = threading.Event()
        self.subscriptions = 0
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Publisher":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._context.destroy(0)

    def publish(self, *events: object, heard: bool = True) -> None:
        """Publish one batch; heard: else it is only there for replay, as if it had been lost."""
        self.publish_raw(msgspec.msgpack.encode([0.0, list(events), 0]), heard=heard)

    def publish_raw(self, payload: bytes, *, heard: bool = True, number: int | None = None) -> None:
        """The same with any payload and number."""
        with self._lock:
            at = self._next if number is None else number
            self._next = at + 1
            self._kept = [*self._kept, (at, payload)][-self._keeps :] if self._keeps else []
            if heard:
                self._sockets[0].send_multipart([self._topic, at.to_bytes(8, "big"), payload])

    def send(self, *frames: bytes) -> None:
        """Publish anything at all."""
        with self._lock:
            self._sockets[0].send_multipart(list(frames))

    def _serve(self) -> None:
        """Note subscriptions, answer replays; a socket is only ever used under the lock."""
        while not self._ended.wait(0.005):
            with self._lock:
                if self._sockets[0].poll(0) and self._sockets[0].recv()[:1] == b"\x01":
                    self.subscriptions += 1
                    self.subscribed.set()
                if self._sockets[1].poll(0):
                    client, _, start = self._sockets[1].recv_multipart()
                    for number, payload in self._kept:
                        if number >= int.from_bytes(start, "big"):
                            frames = [client, b"", number.to_bytes(8, "big"), payload]
                            self._sockets[1].send_multipart(frames)
                    self._sockets[1].send_multipart([client, b"", END, b""])


def tokens_of(body: dict[str, object]) -> list[int]:
    """A token for every four characters of the messages, as a tokenizer with a template would give."""
    text = "".join(f"<{each['role']}>{each['content']}" for each in body["messages"])  # type: ignore[attr-defined]  # a body as JSON has it
    return [hash_of(text[at : at + 4].encode(), 0) % 50_000 for at in range(0, len(text), 4)]


def hash_of(data: bytes, parent: int) -> int:
    """Any hash that is the same in all processes."""
    import xxhash

    return xxhash.xxh3_64_intdigest(data, parent) >> 2


def handler(engine: "PublishingEngine") -> type[http.server.BaseHTTPRequestHandler]:
    """What answers for an engine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            """Healthy, with one model."""
            self._answer({"object": "list", "data": [{"id": "m"}]})

        def do_POST(self) -> None:
            """Tokenize, or answer."""
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            tokens = tokens_of(body)
            if self.path == "/tokenize":
                engine.tokenized += 1
                self._answer({"count": len(tokens), "tokens": tokens})
                return
            cached = engine.take(tokens)
            details = {"prompt_tokens_details": {"cached_tokens": cached}}
            usage = {"prompt_tokens": len(tokens), "completion_tokens": 1, **details}
            message = {"role": "assistant", "content": "x"}
            self._answer({"choices": [{"index": 0, "message": message}], "usage": usage})

        def _answer(self, value: object) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


class PublishingEngine:
    """Chat completions and /tokenize over HTTP, with the prompt's blocks published as they are cached."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.tokenized = 0
        self.cached: dict[int, None] = {}
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> "PublishingEngine":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def blocks_of(self, tokens: list[int]) -> list[int]:
        """Names of whole blocks, each of all tokens up to its end."""
        blocks: list[int] = []
        for start in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
            data = json.dumps(tokens[start : start + BLOCK_TOKENS]).encode()
            blocks.append(hash_of(data, blocks[-1] if blocks else 0))
        return blocks

    def take(self, tokens: list[int]) -> int:
        """Cache a prompt and publish what is new; tokens that were there."""
        blocks = self.blocks_of(tokens)
        present = 0
        while present < len(blocks) and blocks[present] in self.cached:
            present += 1
        if fresh := blocks[present:]:
            self.cached |= dict.fromkeys(fresh)
            after = blocks[present - 1] if present else None
            new_tokens = tokens[present * BLOCK_TOKENS : len(blocks) * BLOCK_TOKENS]
            self.publisher.publish(stored(fresh, new_tokens, after))
        return present * BLOCK_TOKENS

    def evict(self, blocks: Iterable[int]) -> None:
        """Lose blocks, and say so."""
        gone = [block for block in blocks if self.cached.pop(block, 0) is None]
        self.publisher.publish(["BlockRemoved", gone, "GPU"])
