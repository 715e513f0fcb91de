"""What keys, limits and the fair queue add to a short request in a worker, without sockets, in microseconds:
`python -m benchmarks.admission [--out benchmarks/results/admission]`.

Method: a chat request of 1,000 bytes goes in and its answer comes back, whole, on fake transports; 1,500 at a
time, 40 times by turns, and the least process time of each counts, whatever else the machine does.
"""

import argparse
import asyncio
import gc
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.machine import describe
from benchmarks.overhead.backends import ANSWER
from steelyard.config.access import AdmissionOptions, KeyOptions, TenantOptions
from steelyard.config.schema import Configuration, PoolOptions, ReplicaOptions, RouteOptions
from steelyard.gateway import door, fleet_table, worker
from steelyard.gateway.client_connection import ClientConnection
from steelyard.gateway.keys import add_key
from steelyard.gateway.tenants import subjects
from steelyard.gateway.upstream import UpstreamConnection
from steelyard.gateway.worker_start import WorkerStart
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.runtime.limit_page import LimitPage, SlotTable
from steelyard.runtime.page import SharedPage

REQUESTS, ROUNDS, LIMIT_ROWS = 1_500, 40, 16
STEPS = {
    "nothing": (),
    "keys": ("keys",),
    "keys, limits": ("keys", "limits"),
    "keys, fair queue": ("keys", "queue"),
    "keys, limits, fair queue": ("keys", "limits", "queue"),
}


_QUIET, _FAR = socket.socketpair()  # what an idle connection is on: nothing waits there


class _Transport:
    """Takes what is written."""

    def __init__(self) -> None:
        self.last = b""

    def get_extra_info(self, name: str) -> object:
        return {"peername": ("127.0.0.1", 1), "socket": _QUIET}.get(name)

    def write(self, data: bytes) -> None:
        self.last = data

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int) -> None:
        pass


def _configuration(parts: tuple[str, ...], keys: KeyOptions) -> Configuration:
    limits = {"requests_per_min": 1e9, "tokens_per_min": 1e12, "max_concurrent": 1000}
    tenant = TenantOptions(name="t", **(limits if "limits" in parts else {}))  # type: ignore[arg-type]  # fields by name
    replicas = tuple(ReplicaOptions(url=f"http://127.0.0.1:{9000 + at}", models=("m",)) for at in range(4))
    admission = AdmissionOptions(max_in_flight=100 if "queue" in parts else 0)
    return Configuration(
        workers=1,
        seed=1,
        keys=keys if "keys" in parts else KeyOptions(),
        tenants=(tenant,) if "keys" in parts else (),
        pools=(PoolOptions(replicas=replicas, admission=admission),),
        routes=(RouteOptions(),),
    )


def worker_of(parts: tuple[str, ...], keys: KeyOptions, request: bytes) -> Callable[[], None]:
    """A worker with these parts on; a function that serves one request in it."""
    configuration = _configuration(parts, keys)
    page = SharedPage.create(1, PrefixIndex.bytes_needed(configuration.prefix_index_entries))
    page.publish_fleet(fleet_table.encode(fleet_table.rows_of(configuration)))
    start = WorkerStart(
        configuration=configuration,
        limit_descriptor=LimitPage.create(LIMIT_ROWS).descriptor,
        limit_rows=LIMIT_ROWS,
        limit_row=0,
        limit_slots=SlotTable().assign(subjects(configuration.tenants)),
    )
    context, _ = worker.build_context(start, page, 0, uvloop.new_event_loop())
    for upstream in context.upstreams:
        connection = UpstreamConnection(upstream)
        connection.connection_made(cast(asyncio.BaseTransport, _Transport()))
        upstream.give_back(connection)
    client, transport = ClientConnection(context), _Transport()
    client.connection_made(cast(asyncio.BaseTransport, transport))
    body = ANSWER.encode()
    fields = b"Content-Type: application/json\r\nContent-Length: %d" % len(body)
    answer = b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (fields, body)

    def serve_one() -> None:
        client.data_received(request)
        context.outbox.end_turn()
        client.exchange.connection.data_received(answer)  # type: ignore[union-attr]  # it has one by now
        context.outbox.end_turn()

    serve_one()
    if not transport.last.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"a request was not served: {transport.last[:200]!r}")
    return serve_one


def measured_us() -> dict[str, float]:
    """Microseconds a request for every step."""
    with tempfile.TemporaryDirectory() as folder:
        keys = KeyOptions(file=f"{folder}/keys.json")
        key = add_key(keys, "t", int(time.time()))[1]
        words = b"word " * 200
        body = b'{"model":"m","messages":[{"role":"user","content":"%b"}],"max_tokens":16}' % words
        fields = f"Host: h\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n".encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (fields, len(body))
        steps = {name: worker_of(parts, keys, head + body) for name, parts in STEPS.items()}
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # as workers do
    least = dict.fromkeys(steps, float("inf"))
    for _ in range(ROUNDS):
        for name, serve_one in steps.items():
            started_s = time.process_time()
            for _ in range(REQUESTS):
                serve_one()
            least[name] = min(least[name], (time.process_time() - started_s) / REQUESTS * 1e6)
    return least


def run(words: list[str] | None = None) -> str:
    """Measure, and return the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.admission")
    parser.add_argument("--out", type=Path, help="write OUT.md besides printing")
    asked = parser.parse_args(words)
    kind = "compiled" if door.__file__.endswith(".so") else "not compiled"
    page = "# What admission costs\n\nWritten by `python -m benchmarks.admission`; the method is in it.\n"
    page += f"{describe()}; data plane {kind}.\n\n| on | µs a request | more than without |\n|---|---|---|\n"
    found = measured_us()
    page += "".join(f"| {name} | {us:.2f} | {us - found['nothing']:.2f} |\n" for name, us in found.items())
    if asked.out is not None:
        asked.out.with_suffix(".md").write_text(page, encoding="utf-8")
    return page


if __name__ == "__main__":
    print(run())
