"""An engine that misbehaves at named points, over real sockets: one thread a connection, blocking and plain.

A behaviour is a function of a socket and a request; it returns whether the connection stays. Probes
(`/health`, `/v1/models`, `/metrics`) are always answered well, so that only traffic meets the fault.
"""

import contextlib
import fcntl
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

GOOD_BODY = b'{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
_PROBES = (b"/health", b"/v1/models", b"/metrics")


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came over the wire. connection: which of the engine's connections, from 0."""

    head: bytes
    body: bytes
    connection: int

    @property
    def path(self) -> bytes:
        """The request's target."""
        return self.head.split(b" ", 2)[1]

    def values(self, name: str) -> list[str]:
        """All values of a field."""
        wanted = name.lower().encode() + b":"
        lines = self.head.split(b"\r\n")[1:]
        return [
            line[len(wanted) :].strip().decode("latin-1")
            for line in lines
            if line.lower()[: len(wanted)] == wanted
        ]


Behaviour = Callable[[socket.socket, Received], bool]


@dataclass(slots=True, eq=False)
class ChaosEngine:
    """Listens on a free port and answers by `behaviour`, which a test may change at any time.

    requests: what came, without probes. left: connections that the other side closed under an answer.
    """

    behaviour: Behaviour
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    probe_body: bytes = b'{"object":"list","data":[]}'
    left: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    _listener: socket.socket = field(init=False)
    _open: set[socket.socket] = field(default_factory=set)
    _connections: int = 0

    def __post_init__(self) -> None:
        self._listen()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(client)
            number, self._connections = self._connections, self._connections + 1
            threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        buffer = b""
        with client, contextlib.suppress(OSError):
            while (received := read_request(client, buffer, number)) is not None:
                request, buffer = received
                if request.path in _PROBES and request.head.startswith(b"GET"):
                    body = self.probe_body
                    client.sendall(b"%bContent-Length: %d\r\n\r\n%b" % (JSON_HEAD, len(body), body))
                    continue
                self.requests.append(request)
                if not self.behaviour(client, request):
                    break
        self._open.discard(client)

    def die(self) -> None:
        """Stop listening and reset every connection, as a killed process would."""
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in list(self._open):
            with contextlib.suppress(OSError):
                reset(client)

    def revive(self) -> None:
        """Listen again on the same port."""
        self.stopping.clear()
        self._listen()


def read_request(client: socket.socket, buffer: bytes, number: int) -> tuple[Received, bytes] | None:
    """(one request, bytes after it); None when the other side closed."""
    while b"\r\n\r\n" not in buffer:
        data = client.recv(65_536)
        if not data:
            return None
        buffer += data
    head, _, body = buffer.partition(b"\r\n\r\n")
    lengths = Received(head, b"", number).values("content-length")
    length = int(lengths[0]) if lengths else 0
    while len(body) < length:
        data = client.recv(65_536)
        if not data:
            return None
        body += data
    return Received(head, body[:length], number), body[length:]


@contextlib.contextmanager
def chaos_engines(*behaviours: Behaviour) -> Iterator[list[ChaosEngine]]:
    """Engines for the length of a block."""
    engines = [ChaosEngine(behaviour) for behaviour in behaviours]
    try:
        yield engines
    finally:
        for engine in engines:
            with contextlib.suppress(OSError):
                engine.die()


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """An address that refuses connections: bound, so that nobody else gets it, but not listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """An address at which connections neither open nor fail: its queue of unaccepted ones is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def reset(client: socket.socket) -> None:
    """Close with a reset instead of a farewell."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RD)
    client.close()


# --- behaviours ----------------------------------------------------------------------------------


def good(client: socket.socket, request: Received) -> bool:
    """A whole small answer."""
    client.sendall(b"%bContent-Length: %d\r\n\r\n%b" % (JSON_HEAD, len(GOOD_BODY), GOOD_BODY))
    return True


def says(*pieces: bytes, stays: bool = False) -> Behaviour:
    """Send these bytes, piece by piece, then close (or stay)."""

    def behave(client: socket.socket, request: Received) -> bool:
        for piece in pieces:
            client.sendall(piece)
        return stays

    return behave


def says_and_resets(*pieces: bytes) -> Behaviour:
    """Send these bytes, then reset the connection once the other side has read them."""

    def behave(client: socket.socket, request: Received) -> bool:
        for piece in pieces:
            client.sendall(piece)
        wait_for_read(client)
        reset(client)
        return False

    return behave


def says_and_tells(said: threading.Event, *pieces: bytes) -> Behaviour:
    """Send these bytes, piece by piece, tell that all have been sent, and stay."""

    speak = says(*pieces, stays=True)

    def behave(client: socket.socket, request: Received) -> bool:
        stays = speak(client, request)
        said.set()
        return stays

    return behave


def says_and_hangs(*pieces: bytes) -> Behaviour:
    """Send these bytes, then nothing until the other side closes."""

    def behave(client: socket.socket, request: Received) -> bool:
        for piece in pieces:
            client.sendall(piece)
        client.settimeout(60)
        while client.recv(65_536):
            pass
        return False

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One behaviour a request, the last one for all that follow."""
    left = list(behaviours)

    def behave(client: socket.socket, request: Received) -> bool:
        return (left.pop(0) if len(left) > 1 else left[0])(client, request)

    return behave


def wait_for_read(client: socket.socket) -> None:
    """Wait until the other side's kernel has what was sent: a reset would discard it from our buffer."""
    unsent = struct.Struct("i")
    for _ in range(400):
        (left,) = unsent.unpack(fcntl.ioctl(client, termios.TIOCOUTQ, b"\0\0\0\0"))
        if not left:
            break
        time.sleep(0.005)
    # What the other side has received and not read is lost by a reset, too: give it a moment to read.
    time.sleep(0.05)


def chunked(payload: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def chat_event(delta: str, finish: str = "null") -> bytes:
    """One event of a chat stream, in a chunk of its own."""
    choice = f'{{"index":0,"delta":{delta},"finish_reason":{finish}}}'
    around = f'{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{choice}]}}'
    return chunked(f"data: {around}\n\n".encode())


def content_events(*texts: str) -> bytes:
    """A chat stream's events with these pieces of text, each event a chunk."""
    return b"".join(chat_event(f'{{"content":"{text}"}}') for text in texts)


def stream_of(texts: Sequence[str], *, done: bool = True) -> Behaviour:
    """A whole chat stream."""
    finish = chat_event("{}", '"stop"')
    end = finish + (chunked(b"data: [DONE]\n\n") if done else b"") + LAST_CHUNK
    return says(STREAM_HEAD + content_events(*texts) + end, stays=True)
