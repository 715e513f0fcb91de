"""What a reload costs those who are being served: python -m benchmarks.reloads [--out PAGE].

Beside each other: steelyard (SIGHUP, and a rolling restart of its workers), nginx (SIGHUP) and haproxy (its
master on SIGUSR2), each on one core. 500 requests a second come in an open loop over 25 kept connections,
and 200 streams are open at any time; meanwhile the proxy reloads again and again. A client forgives nothing:
a request that is not answered with 200, whole, is failed, also when its kept connection was closed just as it
was sent; a stream without its end is cut. Engine, clients and this program share the other core.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.machine import describe
from benchmarks.overhead.backends import nginx_file
from benchmarks.overhead.processes import LOAD_CORE, PROXY_CORE, ended, free_port, start, wait_for

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":2}'
ANSWER = b'{"id":"1","object":"chat.completion","model":"m","choices":[],"usage":{"completion_tokens":2}}'
MODELS = b'{"object":"list","data":[{"id":"m"}]}'
EVENT = b'data: {"choices":[{"index":0,"text":"word "}]}\n\n'
END = b"data: [DONE]\n\n"
STREAM_S, EVENT_S = 6.0, 0.25
CONNECTIONS = 25


def whole(body: bytes) -> bytes:
    """An answer with a length."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def chunk(payload: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


class Engine(asyncio.Protocol):
    """Answers short requests at once, and streams for `STREAM_S`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._buffer = cast(asyncio.Transport, transport), b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"get"):
            self._transport.write(whole(MODELS))
        elif b"/stream" not in head[:64]:
            self._transport.write(whole(ANSWER))
        else:
            kind = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            self._transport.write(kind + chunk(EVENT))
            self._go_on(int(STREAM_S / EVENT_S))

    def _go_on(self, left: int) -> None:
        if self._transport.is_closing():
            return
        if not left:
            self._transport.write(chunk(END) + b"0\r\n\r\n")
            return
        self._transport.write(chunk(EVENT))
        asyncio.get_running_loop().call_later(EVENT_S, self._go_on, left - 1)


async def serve_engine(port: int) -> None:
    """Until killed."""
    server = await asyncio.get_running_loop().create_server(Engine, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


@dataclass
class Seen:
    """What the clients saw."""

    requests: int = 0
    failed: list[str] = field(default_factory=list)
    streams: int = 0
    cut: list[str] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)


class Client(asyncio.Protocol):
    """A connection with one request at a time; `ended` is set with what came of it, or of the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self._data = cast(asyncio.Transport, transport), b""
        self.answer: asyncio.Future[tuple[bytes, bool]] | None = None

    def ask(self, request: bytes) -> "asyncio.Future[tuple[bytes, bool]]":
        """(answer, whether it is whole)."""
        self._data = b""
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            done = body.endswith(b"\r\n0\r\n\r\n")
        else:
            done = len(body) >= int(lower.partition(b"content-length:")[2].partition(b"\r")[0] or 0)
        if done:
            self._end(True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(False)

    def _end(self, is_whole: bool) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result((self._data, is_whole))


async def connect(port: int) -> Client:
    """A new connection."""
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    return client


def request(path: str) -> bytes:
    """A request that one of the clients sends."""
    return f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY


async def ask_steadily(port: int, seen: Seen, until_s: float, pace_s: float, delay_s: float) -> None:
    """One kept connection of the open loop."""
    client: Client | None = None
    due_s = time.monotonic() + delay_s
    while due_s < until_s:
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        begun_s, due_s = due_s, due_s + pace_s
        try:
            if client is None or client.transport.is_closing():
                client = await connect(port)
            answer, is_whole = await asyncio.wait_for(client.ask(request("/v1/chat/completions")), 10)
            if not is_whole or not answer.startswith(b"HTTP/1.1 200"):
                seen.failed.append(repr(answer[:60]) if answer else "closed without an answer")
            if not is_whole or b"connection: close" in answer.lower():
                client.transport.close()
                client = None
        except (OSError, TimeoutError) as error:
            seen.failed.append(repr(error))
            client = None
        seen.requests += 1
        seen.took_s.append(time.monotonic() - begun_s)
    if client is not None:
        client.transport.close()


async def stream_on(port: int, seen: Seen, until_s: float, delay_s: float) -> None:
    """One stream after the other."""
    await asyncio.sleep(delay_s)
    while time.monotonic() < until_s:
        try:
            client = await connect(port)
            answer, is_whole = await asyncio.wait_for(client.ask(request("/v1/stream")), 4 * STREAM_S)
            client.transport.close()
            if not is_whole or answer.count(EVENT) != int(STREAM_S / EVENT_S) + 1 or END not in answer:
                seen.cut.append(repr(answer[-60:]))
        except (OSError, TimeoutError) as error:
            seen.cut.append(repr(error))
        seen.streams += 1


async def load(
    port: int, seconds: float, rate: float, streams: int, act: Callable[[], None], acts: int
) -> Seen:
    """Clients for so long, and `act` so often meanwhile."""
    seen, until_s, pace_s = Seen(), time.monotonic() + seconds, CONNECTIONS / rate
    work = [ask_steadily(port, seen, until_s, pace_s, pace_s * at / CONNECTIONS) for at in range(CONNECTIONS)]
    work += [stream_on(port, seen, until_s, STREAM_S * at / streams) for at in range(streams)]
    clients = asyncio.gather(*work)
    for _ in range(acts):
        await asyncio.sleep(seconds / (acts + 1))
        await asyncio.to_thread(act)
    await clients
    return seen


# --- the proxies -----------------------------------------------------------------------------------

Started = tuple[subprocess.Popen[bytes], dict[str, Callable[[], None]]]


def steelyard(folder: Path, port: int, engine: int) -> Started:
    """Two workers, so that a rolling restart is one."""
    admin = free_port()
    command = (sys.executable, "-m", "steelyard", "serve", "--engine", f"http://127.0.0.1:{engine}")
    ports = ("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--workers", "2")
    process = start(PROXY_CORE, *command, *ports, cwd=folder)

    def restart() -> None:
        asked = urllib.request.Request(f"http://127.0.0.1:{admin}/workers/restart", method="POST")
        while True:
            try:
                urllib.request.urlopen(asked, timeout=60).close()
                return
            except urllib.error.HTTPError as error:
                if error.code != 409:
                    raise
                time.sleep(0.5)  # the workers that the last one replaced still finish their streams

    return process, {"reload": lambda: process.send_signal(signal.SIGHUP), "rolling restart": restart}


def nginx(folder: Path, port: int, engine: int) -> Started:
    """With kept connections to the engine."""
    body = (
        f"upstream e {{ server 127.0.0.1:{engine}; keepalive 256; }}\n"
        f"server {{ listen 127.0.0.1:{port} backlog=4096;\n"
        'location / { proxy_pass http://e; proxy_http_version 1.1; proxy_set_header Connection ""; '
        "proxy_buffering off; } }"
    )
    process = start(PROXY_CORE, "nginx", "-c", str(nginx_file(folder, "proxy", body)), cwd=folder)
    return process, {"reload": lambda: process.send_signal(signal.SIGHUP)}


def haproxy(folder: Path, port: int, engine: int) -> Started:
    """In master-worker mode, whose reload hands the sockets over."""
    path = folder / "haproxy.cfg"
    path.write_text(
        f"global\n  nbthread 1\n  stats socket {folder}/s level admin expose-fd listeners\n"
        "defaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 2s\n"
        f"frontend f\n  bind 127.0.0.1:{port} backlog 4096\n  default_backend b\n"
        f"backend b\n  http-reuse always\n  server s 127.0.0.1:{engine}\n"
    )
    process = start(PROXY_CORE, "haproxy", "-W", "-db", "-f", str(path), cwd=folder)
    return process, {"reload": lambda: process.send_signal(signal.SIGUSR2)}


PROXIES: dict[str, Callable[[Path, int, int], Started]] = {
    "steelyard": steelyard, "nginx": nginx, "haproxy": haproxy
}  # fmt: skip


@contextlib.contextmanager
def served(name: str) -> Iterator[tuple[int, dict[str, Callable[[], None]]]]:
    """A proxy before the engine: its port, and how it is changed."""
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder, ended(started):
        engine, port = free_port(), free_port()
        root = {"PYTHONPATH": str(Path(__file__).parents[1])}
        command = (sys.executable, "-m", "benchmarks.reloads", "--engine", str(engine))
        started.append(start(LOAD_CORE, *command, cwd=Path(folder), environment=root))
        wait_for("the engine", started[0], engine)
        process, actions = PROXIES[name](Path(folder), port, engine)
        started.append(process)
        wait_for(name, process, port)
        time.sleep(1)
        yield port, actions


def row(name: str, what: str, acts: int, seen: Seen, seconds: float) -> str:
    """One line of the table."""
    p99_ms = sorted(seen.took_s)[int(len(seen.took_s) * 0.99)] * 1e3
    why = f" ({seen.failed[0]})" if seen.failed else ""
    return (
        f"| {name} | {acts} × {what} | {seen.requests:,} | {seen.requests / seconds:.0f} "
        f"| {len(seen.failed)}{why} | {seen.streams:,} | {len(seen.cut)} | {p99_ms:.1f} |\n"
    )


def run(words: list[str] | None = None) -> str:
    """Measure, and return the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reloads")
    parser.add_argument("--only", default=",".join(PROXIES))
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--changes", type=int, default=5)
    parser.add_argument("--engine", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="write OUT.md besides printing")
    asked = parser.parse_args(words)
    if asked.engine:
        uvloop.run(serve_engine(asked.engine))
    names = [name for name in asked.only.split(",") if name == "steelyard" or shutil.which(name)]
    page = "# Reloads under load\n\nWritten by `python -m benchmarks.reloads`; the method is in it.\n"
    page += f"{describe()}. Asked for: {asked.rate:g} requests a second, {asked.streams} open streams.\n\n"
    page += (
        "| proxy | change | requests | a second | failed | streams | cut | p99 ms |\n" + "|---" * 8 + "|\n"
    )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(LOAD_CORE)})
    for name in names:
        with served(name) as (port, actions):
            for what, act in actions.items():
                seen = uvloop.run(load(port, asked.seconds, asked.rate, asked.streams, act, asked.changes))
                page += row(name, what, asked.changes, seen, asked.seconds)
    if asked.out is not None:
        asked.out.with_suffix(".md").write_text(page, encoding="utf-8")
    return page


if __name__ == "__main__":
    print(run())
