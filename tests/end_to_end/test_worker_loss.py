"""A worker killed under traffic: what suffers, how soon it is replaced, and that the counters stay right."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from urllib.parse import urlsplit

from tests.harness.processes import Running, engines, gateway, metrics, wait_until

KILLS = 3
REPLACED_WITHIN_S = 1.0
TCP_ESTABLISHED = 1


def worker_pids(front: Running) -> list[int]:
    with urllib.request.urlopen(front.addresses["admin"] + "/workers", timeout=10) as answer:
        return [worker["pid"] for worker in json.load(answer)]


def connected(front: Running) -> socket.socket:
    parts = urlsplit(front.addresses["gateway"])
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)


def chat(client: socket.socket, *, stream: bool = False, tokens: int = 2) -> bytes:
    """Ask on a kept connection; the first bytes of the answer, b"" when the connection ended."""
    body = json.dumps({"model": "emulated", "prompt": "hi", "max_tokens": tokens, "stream": stream}).encode()
    client.sendall(
        b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    with contextlib.suppress(ConnectionError):
        return client.recv(65_536)
    return b""


def start_of_a_worker_s() -> float:
    """How long it takes here and now to start a process that loads what a worker does."""
    begun_s = time.monotonic()
    subprocess.run([sys.executable, "-c", "import steelyard.gateway.worker"], check=True)
    return time.monotonic() - begun_s


def test_a_killed_worker_is_replaced_within_a_second() -> None:
    with engines(1) as (engine,), gateway(engine.addresses["engine"], options=("--workers", "1")) as front:
        took_s = []
        ok = 'steelyard_requests_total{pool="default",status="2xx"}'
        for kills in range(KILLS):
            # A worker publishes its counts once a millisecond: what it counts after that dies with it.
            wait_until(lambda expected=kills: metrics(front)[ok] == expected)  # type: ignore[misc]  # mypy infers no default of a lambda
            (pid,) = worker_pids(front)
            os.kill(pid, signal.SIGKILL)
            killed_s = time.monotonic()
            with connected(front) as client:  # its queue outlives the worker, so this waits for the next one
                assert chat(client).startswith(b"HTTP/1.1 200")
            took_s.append(time.monotonic() - killed_s)
            wait_until(lambda before=pid: worker_pids(front) != [before])  # type: ignore[misc]  # mypy infers no default of a lambda
        # The best of a few: another process on a shared machine may delay one, not all. Where the machine is
        # so busy that a process alone takes longer to start, that is the measure.
        assert min(took_s) < max(REPLACED_WITHIN_S, 1.5 * start_of_a_worker_s()), took_s
        wait_until(lambda: metrics(front)[ok] == KILLS)
        assert metrics(front)["steelyard_worker_restarts_total"] == KILLS


def test_only_the_killed_workers_own_connections_suffer_and_the_ledger_forgets_them() -> None:
    # At the pace of a real engine: what the clients leave unread fits into the sockets' buffers.
    with (
        engines(1, "--time-scale", "1") as (engine,),
        gateway(engine.addresses["engine"], options=("--workers", "2")) as front,
    ):
        in_flight = (
            f'steelyard_replica_requests_in_flight{{replica="{urlsplit(engine.addresses["engine"]).netloc}"}}'
        )
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connected(front)) for _ in range(24)]
            for client in clients:
                assert chat(client, stream=True, tokens=60_000).startswith(b"HTTP/1.1 200")
            wait_until(lambda: metrics(front)[in_flight] == len(clients))
            os.kill(worker_pids(front)[0], signal.SIGKILL)
            # What the dead worker had in flight is in flight no more; the other's goes on.
            wait_until(lambda: metrics(front)[in_flight] < len(clients))
            left = int(metrics(front)[in_flight])
            wait_until(lambda: sum(map(_is_open, clients)) == left)
            assert 0 < left < len(clients)  # the kernel gave 24 connections all to one of two: 1 in 8 million
        wait_until(lambda: metrics(front)[in_flight] == 0)


def _is_open(client: socket.socket) -> bool:
    """Whether the kernel still has the connection as established: the other end did not close it."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED
