"""One worker process: it only parses, picks, forwards and counts.

It inherits the shared pages and the listening sockets, takes its configuration from standard input, and
lives as long as its supervisor: when that is gone, the pipe between them closes and the worker ends.
Usage: python -m steelyard.gateway.worker ROW ROWS PAGE_FD SOCKET_FD...
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

import uvloop

from steelyard.cluster.membership import Membership
from steelyard.config.schema import Configuration
from steelyard.gateway import fleet_table
from steelyard.gateway.access_log import AccessLog, NoAccessLog
from steelyard.gateway.admission import Gatekeeper
from steelyard.gateway.answer_head import answer_heads
from steelyard.gateway.client_connection import ClientConnection
from steelyard.gateway.context import WorkerContext
from steelyard.gateway.door import Door
from steelyard.gateway.forwarding import TrustedProxies
from steelyard.gateway.keys import KeyRing
from steelyard.gateway.kv_feeds import follow_kv_events
from steelyard.gateway.leaving import QUIET_S, leave
from steelyard.gateway.meters import Meters
from steelyard.gateway.outlet import Outbox
from steelyard.gateway.pool_policy import pool_policy
from steelyard.gateway.pool_tries import ModelPools
from steelyard.gateway.request_plan import plans
from steelyard.gateway.routes import Pool, Routes
from steelyard.gateway.tenants import build_tenants
from steelyard.gateway.tls import FrontTls
from steelyard.gateway.tracing import Tracing, traced_plans
from steelyard.gateway.upstream import UpstreamPool
from steelyard.gateway.worker_answers import WorkerAnswers
from steelyard.gateway.worker_start import WorkerStart, decode
from steelyard.model.errors import ConfigError
from steelyard.policies.failure.outlier import OutlierDetector
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.policies.routing.prefix_ttft import PrefixTtft
from steelyard.routing.router import RoutedPool, Router
from steelyard.routing.shadow import Shadowed
from steelyard.runtime.limit_page import LimitPage
from steelyard.runtime.listeners import BACKLOG
from steelyard.runtime.page import SharedPage
from steelyard.runtime.shared_ledger import SharedLedger
from steelyard.runtime.workers import RETIRE

SWEEP_S = 0.2
SLICE = 256  # connections looked at in one go: 10,000 at once would make everybody wait for milliseconds
RARE_S = 1.0
PUBLISH_S = 0.001
READY = b"ready\n"


def open_upstreams(
    configuration: Configuration, loop: asyncio.AbstractEventLoop, outbox: Outbox
) -> list[UpstreamPool]:
    """A pool of connections for each slot, in the order of `fleet_table.rows_of`."""
    heads = answer_heads()
    return [
        UpstreamPool(replica.url, pool.upstream, pool.timeouts, loop, heads, pool.engine, outbox)
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
        pools[options.name] = Pool.of(options, policy, index, asks_keys=bool(configuration.keys.file))
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


def build_gate(start: WorkerStart) -> Gatekeeper | None:
    """Who looks at keys and limits; None when nobody needs to. Raises ConfigError."""
    configuration = start.configuration
    if not configuration.keys.file:
        limited = any(pool.admission.limits_replicas for pool in configuration.pools)
        return Gatekeeper(None) if limited else None
    page = LimitPage(start.limit_descriptor, start.limit_rows)
    rows = [page.row(number) for number in range(page.rows)]
    own = rows.pop(start.limit_row)
    tenants = build_tenants(configuration.tenants, start.limit_slots, own, rows, monotonic())
    return Gatekeeper(KeyRing(configuration.keys, tenants))


def open_log(configuration: Configuration, meters: Meters) -> AccessLog | None:
    """Where requests are written down; a log of nothing where only their traces are wanted."""
    if configuration.access_log:
        return AccessLog(Path(configuration.access_log), meters.log_dropped)
    return NoAccessLog() if configuration.tracing.endpoint else None


def hang_doors(
    configuration: Configuration,
    pools: dict[str, Pool],
    context: WorkerContext,
    loop: asyncio.AbstractEventLoop,
) -> None:
    """A place to wait before every pool whose replicas can be full."""
    for options in configuration.pools:
        if options.admission.limits_replicas:
            pool = pools[options.name]
            live = pool.policy.live if isinstance(pool.policy, Shadowed) else pool.policy
            index = live.index if isinstance(live, PrefixTtft) else None
            pool.door = Door(options.admission, context.router, context.fleet, index, loop.call_later)


def build_context(
    start: WorkerStart, page: SharedPage, worker: int, loop: asyncio.AbstractEventLoop
) -> tuple[WorkerContext, Membership]:
    """Put a worker together from what it was told and the shared page."""
    configuration = start.configuration
    seed = configuration.seed * 64 + worker if configuration.seed else int.from_bytes(os.urandom(8), "big")
    rng = random.Random(seed)
    membership = Membership()
    if (read := page.read_fleet()) is not None:
        fleet_table.apply(read[1], membership)
    pools, routed = build_pools(configuration, rng, page)

    def soon(publish: Callable[[], None]) -> object:
        return loop.call_later(PUBLISH_S, publish)

    meters = Meters(page, worker, soon)
    shared = PrefixIndex(page.index_memory, configuration.prefix_index_entries)
    follow_kv_events(configuration, pools, shared, meters)
    tracing = Tracing(configuration, os.urandom(16)) if configuration.tracing.endpoint else None
    outbox = Outbox(loop.call_soon)
    make_plans = plans if tracing is None else traced_plans
    context = WorkerContext(
        configuration=configuration,
        loop=loop,
        fleet=membership.fleet,
        ledger=SharedLedger(membership.fleet, page, worker, soon),
        router=Router(membership, routed, rng),
        plans=make_plans(Routes(configuration, pools), configuration.limits.max_header_count),
        meters=meters,
        upstreams=open_upstreams(configuration, loop, outbox),
        outbox=outbox,
        access_log=open_log(configuration, meters),
        shows_picks=configuration.pick_header,
        tracing=tracing,
        trusted_proxies=TrustedProxies(configuration.trusted_proxies),
        model_pools=ModelPools(configuration, pools, rng) if configuration.models else None,
        id_prefix=f"{os.getpid():x}{seed & 0xFFFFFF:06x}-".encode(),
        gate=build_gate(start),
    )
    hang_doors(configuration, pools, context, loop)
    return context, membership


class Sweeper:
    """Looks after everything that time does, five times a second: one timer a worker, none a request."""

    def __init__(
        self,
        context: WorkerContext,
        membership: Membership,
        page: SharedPage,
        answers: WorkerAnswers,
        tls: FrontTls | None,
    ) -> None:
        self._tls = tls
        self._rare_s = 0.0
        self._context = context
        self._membership = membership
        self._page = page
        self._answers = answers
        self._sequence = 0

    def start(self) -> None:
        """Sweep now and from now on."""
        try:
            self.sweep()
        finally:  # whatever goes wrong once, time goes on
            self._context.loop.call_later(SWEEP_S, self.start)

    def sweep(self) -> None:
        """Take in the fleet table when it changed; fire deadlines; close idle connections."""
        context = self._context
        if self._page.fleet_sequence != self._sequence and (read := self._page.read_fleet()) is not None:
            self._sequence = read[0]
            fleet_table.apply(read[1], self._membership)
        self._answers.answer_open_question()
        now_s = monotonic()
        self._walk(list(context.connections), 0)
        for upstream in context.upstreams:
            upstream.expire_idle(now_s)
        if now_s >= self._rare_s:
            self._rare_s = now_s + RARE_S
            self._look_at_files()

    def _walk(self, connections: list[ClientConnection], start: int) -> None:
        """Look at a slice of the connections, and at the others in slices until the next sweep."""
        context, now_s, stop = self._context, monotonic(), start + SLICE
        if stop < len(connections):
            slices = -(-len(connections) // SLICE)
            context.loop.call_later(SWEEP_S / (slices + 1), self._walk, connections, stop)
        present = context.connections
        for connection in connections[start:stop]:
            if connection in present:
                connection.check_deadline(now_s)

    def _look_at_files(self) -> None:
        """Take up what an operator changed: keys, a certificate. What is broken is said, and not taken up."""
        gate = self._context.gate
        try:
            if gate is not None and gate.keys is not None:
                gate.keys.refresh()
            if self._tls is not None:
                self._tls.refresh()
        except ConfigError as error:
            print(f"steelyard: the old one stays in use: {error}", file=sys.stderr, flush=True)


async def serve(start: WorkerStart, row: int, page: SharedPage, listeners: list[socket.socket]) -> None:
    """Serve until told to stop, or to make way for a successor."""
    loop, configuration = asyncio.get_running_loop(), start.configuration
    context, membership = build_context(start, page, row, loop)
    tls = FrontTls(configuration.tls) if configuration.tls.enabled else None
    servers = [
        await loop.create_server(
            lambda: cast(asyncio.Protocol, ClientConnection(context)),
            sock=listener,
            backlog=BACKLOG,
            ssl=tls.context if tls is not None else None,
            ssl_handshake_timeout=configuration.limits.client_head_timeout_s if tls is not None else None,
        )
        for listener in listeners
    ]
    stop = asyncio.Event()
    leaving: list[asyncio.Task[None]] = []

    def begin(quiet_s: float, timeout_s: float) -> None:
        task = loop.create_task(leave(context, servers, quiet_s=quiet_s, timeout_s=timeout_s))
        task.add_done_callback(lambda _: stop.set())
        leaving.append(task)

    loop.add_signal_handler(signal.SIGTERM, begin, 0.0, configuration.drain_timeout_s)
    loop.add_signal_handler(RETIRE, begin, QUIET_S, configuration.old_worker_timeout_s)
    # A terminal's Ctrl-C or hang-up reaches every process of the group: the supervisor decides what it means.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        loop.add_signal_handler(number, lambda: None)
    loop.add_reader(sys.stdin.fileno(), stop.set)  # the supervisor is gone
    answers = WorkerAnswers(page.question_board(), row, context.receipts, context.router, context.fleet)
    Sweeper(context, membership, page, answers, tls).start()
    try:
        os.write(sys.stdout.fileno(), READY)
    except BrokenPipeError:
        return  # the supervisor ended while we started
    await stop.wait()
    close(context)


def close(context: WorkerContext) -> None:
    """Write and send what waits, and let engines go."""
    context.meters.publish()
    for upstream in context.upstreams:
        upstream.close()
    if context.access_log is not None:
        context.access_log.close()
    if context.tracing is not None:
        context.tracing.close()


def main(arguments: list[str]) -> None:
    """Run a worker."""
    row, rows, page_descriptor, *sockets = map(int, arguments)
    length = int.from_bytes(sys.stdin.buffer.read(8), "big")
    start = decode(sys.stdin.buffer.read(length))
    page = SharedPage(page_descriptor, rows)
    # Exchanges are freed by reference counting; the collector is there for the rare cycle. What was imported
    # is never garbage, and looking for cycles every 700 allocations would mean every few requests.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    uvloop.run(serve(start, row, page, [socket.socket(fileno=number) for number in sockets]))


if __name__ == "__main__":
    main(sys.argv[1:])
