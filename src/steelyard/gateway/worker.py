"""One worker process: it only parses, picks, forwards and counts.

It inherits the shared page and the listening socket, takes its configuration from standard input, and
lives as long as its supervisor: when that is gone, the pipe between them closes and the worker ends.
Usage: python -m steelyard.gateway.worker INDEX WORKERS PAGE_FD SOCKET_FD
"""

import asyncio
import gc
import os
import random
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import cast

import msgspec
import uvloop

from steelyard.cluster.membership import Membership
from steelyard.config.schema import Configuration
from steelyard.gateway import fleet_table
from steelyard.gateway.access_log import AccessLog
from steelyard.gateway.answer_head import answer_heads
from steelyard.gateway.client_connection import ClientConnection
from steelyard.gateway.context import WorkerContext
from steelyard.gateway.meters import Meters
from steelyard.gateway.pool_policy import pool_policy
from steelyard.gateway.request_plan import plans
from steelyard.gateway.routes import Pool, Routes
from steelyard.gateway.upstream import UpstreamPool
from steelyard.gateway.worker_answers import WorkerAnswers
from steelyard.policies.failure.outlier import OutlierDetector
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.routing.router import RoutedPool, Router
from steelyard.runtime.page import SharedPage
from steelyard.runtime.shared_ledger import SharedLedger

SWEEP_S = 0.2
PUBLISH_S = 0.001
READY = b"ready\n"


def open_upstreams(configuration: Configuration, loop: asyncio.AbstractEventLoop) -> list[UpstreamPool]:
    """A pool of connections for each slot, in the order of `fleet_table.rows_of`."""
    heads = answer_heads()
    return [
        UpstreamPool(replica.url, pool.upstream, pool.timeouts, loop, heads)
        for pool in configuration.pools
        for replica in pool.replicas
    ]


def build_pools(
    configuration: Configuration, rng: random.Random, page: SharedPage
) -> tuple[dict[str, Pool], list[RoutedPool]]:
    """The pools as requests find them, and as the router sees them."""
    prefixes = PrefixIndex(page.index_memory, configuration.prefix_index_entries)
    pools: dict[str, Pool] = {}
    routed: list[RoutedPool] = []
    for index, options in enumerate(configuration.pools):
        policy = pool_policy(options, rng, prefixes)
        pools[options.name] = Pool.of(options, policy, index)
        outliers = OutlierDetector(
            **{name: getattr(options.outlier, name) for name in options.outlier.__slots__}
        )
        routed.append(
            RoutedPool(
                name=options.name,
                policy=policy,
                outliers=outliers,
                panic_fraction=options.panic_fraction,
                slow_start_s=options.slow_start_s,
            )
        )
    return pools, routed


def build_context(
    configuration: Configuration, page: SharedPage, worker: int, loop: asyncio.AbstractEventLoop
) -> tuple[WorkerContext, Membership]:
    """Put a worker together from the configuration and the shared page."""
    seed = configuration.seed * 64 + worker if configuration.seed else int.from_bytes(os.urandom(8), "big")
    rng = random.Random(seed)
    membership = Membership()
    read = page.read_fleet()
    if read is not None:
        fleet_table.apply(read[1], membership)
    pools, routed = build_pools(configuration, rng, page)

    def soon(publish: Callable[[], None]) -> object:
        return loop.call_later(PUBLISH_S, publish)

    meters = Meters(page, worker, soon)
    log = AccessLog(Path(configuration.access_log), meters.log_dropped) if configuration.access_log else None
    context = WorkerContext(
        configuration=configuration,
        loop=loop,
        fleet=membership.fleet,
        ledger=SharedLedger(membership.fleet, page, worker, soon),
        router=Router(membership, routed, rng),
        plans=plans(Routes(configuration, pools), configuration.limits.max_header_count),
        meters=meters,
        upstreams=open_upstreams(configuration, loop),
        access_log=log,
        shows_picks=configuration.pick_header,
        id_prefix=f"{os.getpid():x}{seed & 0xFFFFFF:06x}-".encode(),
    )
    return context, membership


class Sweeper:
    """Looks after everything that time does, five times a second: one timer a worker, none a request."""

    def __init__(
        self, context: WorkerContext, membership: Membership, page: SharedPage, answers: WorkerAnswers
    ) -> None:
        self._context = context
        self._membership = membership
        self._page = page
        self._answers = answers
        self._sequence = 0

    def start(self) -> None:
        """Sweep now and from now on."""
        self.sweep()
        self._context.loop.call_later(SWEEP_S, self.start)

    def sweep(self) -> None:
        """Take in the fleet table when it changed; fire deadlines; close idle connections."""
        context = self._context
        if self._page.fleet_sequence != self._sequence and (read := self._page.read_fleet()) is not None:
            self._sequence = read[0]
            fleet_table.apply(read[1], self._membership)
        self._answers.answer_open_question()
        now_s = monotonic()
        for connection in list(context.connections):
            connection.check_deadline(now_s)
        for upstream in context.upstreams:
            upstream.expire_idle(now_s)


async def drain(context: WorkerContext, server: asyncio.Server, stop: asyncio.Event) -> None:
    """Take no more connections, let requests under way finish, then stop."""
    context.draining = True
    server.close()
    for connection in list(context.connections):
        connection.drain()
    give_up_s = context.loop.time() + context.configuration.drain_timeout_s
    while context.connections and context.loop.time() < give_up_s:
        await asyncio.sleep(0.05)
    stop.set()


async def serve(configuration: Configuration, worker: int, page: SharedPage, listener: socket.socket) -> None:
    """Serve until told to stop."""
    loop = asyncio.get_running_loop()
    context, membership = build_context(configuration, page, worker, loop)
    stop = asyncio.Event()
    server = await loop.create_server(
        lambda: cast(asyncio.Protocol, ClientConnection(context)), sock=listener, backlog=4096
    )
    draining: list[asyncio.Task[None]] = []

    def begin_drain() -> None:
        if not draining:
            draining.append(loop.create_task(drain(context, server, stop)))

    loop.add_signal_handler(signal.SIGTERM, begin_drain)
    # A terminal's Ctrl-C reaches every process of the group: the supervisor decides what it means.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_reader(sys.stdin.fileno(), stop.set)  # the supervisor is gone
    answers = WorkerAnswers(page.question_board(), worker, context.receipts, context.router, context.fleet)
    Sweeper(context, membership, page, answers).start()
    os.write(sys.stdout.fileno(), READY)
    await stop.wait()
    context.meters.publish()
    for upstream in context.upstreams:
        upstream.close()
    if context.access_log is not None:
        context.access_log.close()


def main(arguments: list[str]) -> None:
    """Run a worker."""
    worker, workers, page_descriptor, socket_descriptor = map(int, arguments)
    length = int.from_bytes(sys.stdin.buffer.read(8), "big")
    configuration = msgspec.json.decode(sys.stdin.buffer.read(length), type=Configuration)
    page = SharedPage(page_descriptor, workers)
    # Exchanges are freed by reference counting; the collector is there for the rare cycle. What was imported
    # is never garbage, and looking for cycles every 700 allocations would mean every few requests.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    uvloop.run(serve(configuration, worker, page, socket.socket(fileno=socket_descriptor)))


if __name__ == "__main__":
    main(sys.argv[1:])
