"""What strangers can do to a gateway: python -m benchmarks.strangers [--out benchmarks/results/strangers].

Slow heads: 5,000 connections send 4,000 bytes of a head, then a byte every few seconds, and never end it.
An honest client asks at a steady pace on one connection, by turns without them and beside them; its p99 of
both, and what the worker's memory grew by, are compared. Who drips shares a core with the honest client,
which strangers do not: so there is a third turn, in which they drip at a socket that nobody reads, and what
is slower beside them than in that turn is the gateway's doing. Names: 100,000 requests that each show
another wrong key, ask for another unknown model or another path; the worker's memory and the number of
metric series are read on the way.

The gateway has one worker on one core; all else shares the other.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from benchmarks.machine import describe
from benchmarks.overhead.backends import start_static
from benchmarks.overhead.processes import PROXY_CORE, ended, free_port, start, tree, wait_for
from steelyard.config.access import KeyOptions
from steelyard.gateway.keys import add_key

DRIP_S = 5.0
BEGUN_BYTES = 4_000  # of each slow head come at once
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":2}'
CONFIGURATION = """
listen = "127.0.0.1:{port}"
admin = "127.0.0.1:{admin}"
workers = 1
[limits]
client_head_timeout_s = 3600
[keys]
file = "{folder}/keys.json"
[[tenants]]
name = "honest"
[[pools]]
[[pools.replicas]]
url = "http://127.0.0.1:{engine}"
models = ["m"]
"""


@dataclass(frozen=True, slots=True)
class Front:
    """A gateway: its ports, the process of its one worker, and a key."""

    port: int
    admin: int
    worker: psutil.Process
    key: str

    def series(self) -> int:
        """How many series its metrics have."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=30) as answer:
            return sum(line[:1] not in (b"#", b"") for line in answer.read().split(b"\n"))


@contextmanager
def front() -> Iterator[Front]:
    """A gateway before an nginx that answers at once."""
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as name, ended(started):
        folder, (port, admin, engine) = Path(name), (free_port(), free_port(), free_port())
        key = add_key(KeyOptions(file=str(folder / "keys.json")), "honest", int(time.time()))[1]
        configuration = folder / "steelyard.toml"
        configuration.write_text(
            CONFIGURATION.format(port=port, admin=admin, engine=engine, folder=folder), encoding="utf-8"
        )
        started.append(start_static(folder, [engine]))
        wait_for("nginx", started[0], engine)
        command = (sys.executable, "-m", "steelyard", "serve", str(configuration))
        started.append(start(PROXY_CORE, *command, cwd=folder))
        wait_for("steelyard", started[1], port)
        while not (workers := tree(started[1].pid)[1:]):
            time.sleep(0.05)  # the port is bound before a worker is there
        worker = max(workers, key=lambda each: each.create_time())
        yield Front(port, admin, worker, key)


def request(key: str, path: str = "/v1/chat/completions", body: bytes = BODY) -> bytes:
    """One request."""
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: h",
        f"Authorization: Bearer {key}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


async def read_answer(reader: asyncio.StreamReader) -> int:
    """Read one answer that has a length; its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r")[0]))
    return int(head.split()[1])


async def honest(at: Front, requests: int, pace_s: float) -> list[float]:
    """Seconds that each of so many requests took, one every `pace_s`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    took_s: list[float] = []
    due_s = time.monotonic()
    for _ in range(requests):
        due_s += pace_s
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        started_s = time.monotonic()
        writer.write(request(at.key))
        if await read_answer(reader) != 200:
            raise SystemExit("the honest client was not served")
        took_s.append(time.monotonic() - started_s)
    writer.close()
    return sorted(took_s)


def honest_p99_s(at: Front, requests: int) -> float:
    """Of so many requests at the steady pace."""
    return asyncio.run(honest(at, requests, 0.005))[int(requests * 0.99)]


async def drip(port: int, count: int) -> None:
    """Open connections, say so, and send a byte on each every `DRIP_S`, until killed."""
    writers = []
    for number in range(count):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nX-Slow: " + b"y" * BEGUN_BYTES)
        writers.append(writer)
        if number % 100 == 99:
            await asyncio.sleep(0.02)
    print("open", flush=True)
    due_s = time.monotonic()
    while True:
        for writer in writers:  # one by one: bytes that came together would be a load of another kind
            due_s += DRIP_S / count
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            writer.write(b"y")


@contextmanager
def dripping(port: int, count: int) -> Iterator[None]:
    """So many slow connections, held by another process."""
    command = [sys.executable, "-m", "benchmarks.strangers", "--drip", str(port), "--connections", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            if child.stdout is None or not child.stdout.readline():
                raise SystemExit("the slow connections could not be opened")
            yield
        finally:
            child.kill()


@contextmanager
def sink() -> Iterator[int]:
    """The port of a socket that takes connections and never reads."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener, contextlib.ExitStack() as stack:

        def accept() -> None:
            with contextlib.suppress(OSError):  # closed: that is the end
                while True:
                    taken.append(listener.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        stack.callback(thread.join)
        stack.callback(listener.shutdown, socket.SHUT_RDWR)
        yield listener.getsockname()[1]
    for each in taken:
        each.close()


def slow_heads(count: int, rounds: int, requests: int) -> list[str]:
    """Table rows of the comparison."""
    alone_s, elsewhere_s, beside_s, held = [], [], [], 0.0
    with front() as at:
        asyncio.run(honest(at, 200, 0.001))
        before = at.worker.memory_info().rss
        for _ in range(rounds):
            alone_s.append(honest_p99_s(at, requests))
            with sink() as port, dripping(port, count):
                elsewhere_s.append(honest_p99_s(at, requests))
            with dripping(at.port, count):
                held = max(held, (at.worker.memory_info().rss - before) / count)
                beside_s.append(honest_p99_s(at, requests))
    alone, elsewhere, beside = median(alone_s), median(elsewhere_s), median(beside_s)
    return [
        f"| honest p99 alone, ms (median of {rounds}) | {alone * 1e3:.2f} | |",
        f"| honest p99 while {count:,} drip elsewhere, ms | {elsewhere * 1e3:.2f} | |",
        f"| honest p99 beside {count:,} slow heads, ms | {beside * 1e3:.2f} | |",
        f"| ratio to alone | {beside / alone:.2f} | ≤ 1.15 |",
        f"| ratio to elsewhere: what the gateway adds | {beside / elsewhere:.2f} | |",
        f"| memory a slow connection, KiB | {held / 1024:.1f} | ≤ 32 |",
    ]


async def bogus(at: Front, first: int, count: int) -> None:
    """Requests that nobody could have meant, fifty at a time on a connection."""
    for begin in range(first, first + count, 1000):
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        for number in range(begin, min(begin + 1000, first + count), 50):
            for each in range(number, number + 50):
                kind = each % 3
                key = f"sk-steelyard-{each:012x}-{each}" if kind == 0 else at.key
                path = f"/v1/{each}" if kind == 1 else "/v1/completions"
                writer.write(request(key, path, b'{"model":"bogus %d","prompt":"x"}' % each))
            for _ in range(50):
                if await read_answer(reader) not in (401, 404):
                    raise SystemExit("a bogus request was not refused")
        writer.close()


def names(count: int) -> list[str]:
    """Table rows: memory and series after a tenth of the requests, and after all of them."""
    with front() as at:
        asyncio.run(bogus(at, 0, count // 10))
        memory, series = at.worker.memory_info().rss, at.series()
        asyncio.run(bogus(at, count // 10, count - count // 10))
        grown, more = at.worker.memory_info().rss - memory, at.series() - series
    return [
        f"| memory of the worker after {count // 10:,} bogus names, MiB | {memory / 2**20:.1f} | |",
        f"| grown by, after {count:,}, MiB | {grown / 2**20:.1f} | flat |",
        f"| metric series, and how many more after {count:,} | {series}, {more} | flat |",
    ]


def run(words: list[str] | None = None) -> str:
    """Measure, and return the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strangers")
    parser.add_argument("--connections", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1_000, help="of the honest client a round")
    parser.add_argument("--names", type=int, default=100_000)
    parser.add_argument("--drip", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="write OUT.md besides printing")
    asked = parser.parse_args(words)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if asked.drip:
        asyncio.run(drip(asked.drip, asked.connections))
    if shutil.which("nginx") is None or len(os.sched_getaffinity(0)) < 2:
        return "# Strangers\n\nNot measured here: needs nginx and another core.\n"
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    rows = slow_heads(asked.connections, asked.rounds, asked.requests) + names(asked.names)
    page = "# What strangers can do\n\nWritten by `python -m benchmarks.strangers`; the method is in it.\n"
    page += f"{describe()}; load before the run {load}.\n\n| what | measured | goal |\n|---|---|---|\n"
    page += "".join(f"{row}\n" for row in rows)
    if asked.out is not None:
        asked.out.with_suffix(".md").write_text(page, encoding="utf-8")
    return page


if __name__ == "__main__":
    print(run())
