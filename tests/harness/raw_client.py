"""A client of raw bytes that tells a whole answer from a cut one, by the framing alone."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(slots=True)
class Answer:
    """One answer. whole: its framing says that it is complete. interim: statuses before the final one."""

    status: int = 0
    head: bytes = b""
    body: bytes = b""
    whole: bool = False
    interim: list[int] = field(default_factory=list)
    rest: bytes = b""

    def value(self, name: str) -> str | None:
        """A field's value; all values, joined, when it is repeated."""
        wanted = name.lower().encode() + b":"
        found = [line for line in self.head.split(b"\r\n")[1:] if line.lower().startswith(wanted)]
        return ", ".join(line[len(wanted) :].strip().decode("latin-1") for line in found) if found else None


class _Source:
    """Bytes from a socket, with those that were read ahead."""

    def __init__(self, stream: socket.socket, data: bytes) -> None:
        self._stream = stream
        self.data = data

    def more(self) -> bool:
        """Read some more; whether there was any."""
        try:
            piece = self._stream.recv(65_536)
        except ConnectionError:
            return False
        self.data += piece
        return bool(piece)

    def until(self, mark: bytes) -> bytes | None:
        while mark not in self.data:
            if not self.more():
                return None
        found, _, self.data = self.data.partition(mark)
        return found

    def exactly(self, size: int) -> bytes | None:
        while len(self.data) < size:
            if not self.more():
                return None
        found, self.data = self.data[:size], self.data[size:]
        return found


@contextlib.contextmanager
def connected(url: str, timeout_s: float = 15) -> Iterator[socket.socket]:
    """A plain connection."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=timeout_s) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield stream


def read_answer(stream: socket.socket, ahead: bytes = b"", *, head_request: bool = False) -> Answer:
    """Read one final answer; what came of it when the connection ends first."""
    source, answer = _Source(stream, ahead), Answer()
    while True:
        head = source.until(b"\r\n\r\n")
        if head is None:
            answer.head = source.data
            return answer
        answer.head, answer.status = head, int(head[9:12])
        if answer.status >= 200:
            break
        answer.interim.append(answer.status)
    if head_request or answer.status in (204, 304):
        answer.whole = True
    elif answer.value("transfer-encoding") == "chunked":
        _read_chunks(source, answer)
    elif (length := answer.value("content-length")) is not None:
        body = source.exactly(int(length))
        answer.whole = body is not None
        answer.body = source.data if body is None else body
    else:
        while source.more():
            pass
        answer.body, source.data, answer.whole = source.data, b"", True
    answer.rest = source.data
    return answer


def _read_chunks(source: _Source, answer: Answer) -> None:
    while (line := source.until(b"\r\n")) is not None:
        size = int(line, 16)
        if size == 0:
            answer.whole = source.until(b"\r\n") == b""
            return
        payload = source.exactly(size + 2)
        if payload is None:
            answer.body += source.data
            return
        assert payload.endswith(b"\r\n"), payload
        answer.body += payload[:-2]


def ask(url: str, data: bytes, *, timeout_s: float = 15, head_request: bool = False) -> Answer:
    """Send bytes over a connection of their own and read one answer."""
    with connected(url, timeout_s) as stream:
        with contextlib.suppress(ConnectionError):
            stream.sendall(data)
        return read_answer(stream, head_request=head_request)


def post(
    path: str, body: bytes = b'{"model":"m","messages":[{"role":"user","content":"x"}]}', *fields: str
) -> bytes:
    """A POST request with a length."""
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


def stream_post(path: str, **_: object) -> bytes:
    """A POST that asks for a stream."""
    return post(path, b'{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}')
