"""The supervisor: it starts workers and does what is slow, so that they need not.

Health probes, the fleet table, metrics and the admin port, worker restarts, and the end of it all.
"""

import asyncio
import signal
from collections.abc import Callable

import msgspec
import uvloop

from steelyard.cluster.membership import ReplicaState
from steelyard.config.schema import Configuration, parse_address
from steelyard.gateway import answers, fleet_table, metrics
from steelyard.gateway.admin import AdminServer
from steelyard.gateway.inquiry import Inquiry
from steelyard.gateway.probes import Probe
from steelyard.gateway.scrapes import Scrape
from steelyard.model.errors import BadRequest, ConfigError
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.runtime.page import SharedPage
from steelyard.runtime.workers import Workers, listen
from steelyard.wire.http1_head import RequestHead

WORKER_MODULE = "steelyard.gateway.worker"
DRAIN_MARGIN_S = 2.0
LOADS_S = 0.2  # as often as workers look


class Supervisor:
    """One gateway."""

    def __init__(self, configuration: Configuration, say: Callable[[str], None]) -> None:
        self._configuration = configuration
        self._say = say
        entries = configuration.prefix_index_entries
        self._page = SharedPage.create(configuration.workers, PrefixIndex.bytes_needed(entries))
        self._prefixes = PrefixIndex(self._page.index_memory, entries)
        self._rows = fleet_table.rows_of(configuration)
        self._page.publish_fleet(fleet_table.encode(self._rows))
        by_name = {pool.name: pool for pool in configuration.pools}
        self._probes = [
            Probe(row, by_name[row.replica.pool].health, by_name[row.replica.pool].kind == "openai")
            for row in self._rows
            if row.replica is not None
        ]
        self._scrapes = [
            Scrape(probe.row, probe.options)
            for probe in self._probes
            if probe.asks_for_models and probe.options.metrics_path
        ]
        self._loads_changed = False
        self._inquiry = Inquiry(self._page.question_board())
        self._workers: Workers | None = None
        self._admin = AdminServer(self._answer)

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT. Raises ConfigError when it cannot start."""
        _check_access_log(self._configuration.access_log)
        host, port = parse_address(self._configuration.listen, "listen")
        listeners = listen(host, port, self._configuration.workers)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        self._workers = Workers(
            WORKER_MODULE, self._page, listeners, msgspec.json.encode(self._configuration)
        )
        admin_host, admin_port = await self._start_admin()
        probing: list[asyncio.Task[None]] = []
        try:
            await self._workers.start()
            probing = [asyncio.create_task(self._probe(probe)) for probe in self._probes]
            probing += [asyncio.create_task(self._scrape(scrape)) for scrape in self._scrapes]
            probing.append(asyncio.create_task(self._publish_loads()))
            address = listeners[0].getsockname()
            self._say(f"gateway listening on http://{_shown(address[0])}:{address[1]}")
            self._say(f"admin listening on http://{_shown(admin_host)}:{admin_port}")
            await stop.wait()
        finally:
            for task in probing:
                task.cancel()
            await self._workers.stop(self._configuration.drain_timeout_s + DRAIN_MARGIN_S)
            self._admin.close()
            for listener in listeners:
                listener.close()
        return 0

    async def _start_admin(self) -> tuple[str, int]:
        host, port = parse_address(self._configuration.admin, "admin")
        try:
            return await self._admin.start(host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(
                f"cannot listen on {host}:{port} (admin): {reason}: choose another with --admin"
            ) from None

    async def _probe(self, probe: Probe) -> None:
        while True:
            if await probe.run_once():
                if probe.row.state is ReplicaState.UNHEALTHY:
                    # It probably starts anew, with an empty cache; if not, its cache is learned again.
                    self._prefixes.forget(self._rows.index(probe.row))
                self._publish()
            await asyncio.sleep(probe.options.interval_s)

    async def _scrape(self, scrape: Scrape) -> None:
        while True:
            self._loads_changed |= await scrape.run_once()
            await asyncio.sleep(scrape.pause_s)

    async def _publish_loads(self) -> None:
        """Once for all engines that reported meanwhile: the table is written whole each time."""
        while True:
            await asyncio.sleep(LOADS_S)
            if self._loads_changed:
                self._loads_changed = False
                self._publish()

    def _publish(self) -> None:
        self._page.publish_fleet(fleet_table.encode(self._rows))

    # --- the admin port ------------------------------------------------------------------------

    async def _answer(self, head: RequestHead) -> bytes:
        path = head.path.decode("ascii")
        if path in ("/picks", "/shadow") or path.startswith("/why/"):
            rows = range(self._configuration.workers)
            page = await self._inquiry.read(path, rows, self._configuration)
            return answers.answer(200, msgspec.json.encode(page), head_only=head.method == b"HEAD")
        if head.method in (b"GET", b"HEAD"):
            body, content_type = self._read(path)
            return answers.answer(200, body, content_type=content_type, head_only=head.method == b"HEAD")
        if head.method == b"POST" and path.startswith("/replicas/"):
            return answers.answer(200, self._act(path.removeprefix("/replicas/")))
        raise BadRequest(f"{head.method.decode()} {path[:200]} is not served here", http_status=405)

    def _read(self, path: str) -> tuple[bytes, bytes]:
        if path == "/metrics":
            pools = [pool.name for pool in self._configuration.pools]
            restarts = sum(worker.restarts for worker in self._workers.workers) if self._workers else 0
            return metrics.render(self._page, self._rows, pools, restarts), metrics.CONTENT_TYPE
        if path == "/healthz":
            return b'{"status": "ok"}', b"application/json"
        if path == "/replicas":
            return msgspec.json.encode([self._describe(probe) for probe in self._probes]), b"application/json"
        if path == "/workers":
            workers = self._workers.workers if self._workers else []
            described = [
                {"pid": each.process.pid if each.process else 0, "restarts": each.restarts}
                for each in workers
            ]
            return msgspec.json.encode(described), b"application/json"
        raise BadRequest(
            f"no page {path[:200]}: there are /metrics, /healthz, /replicas, /workers, "
            "/picks, /why/REQUEST_ID, /shadow",
            http_status=404,
        )

    @staticmethod
    def _describe(probe: Probe) -> dict[str, object]:
        replica = probe.row.replica
        if replica is None:
            return {}
        return {
            "id": replica.replica_id,
            "url": replica.base_url,
            "pool": replica.pool,
            "state": probe.row.state.value,
            "models": replica.models,
            "weight": replica.weight,
            "load": probe.row.load,
            "probe_failures": probe.failures,
            "last_error": probe.last_error,
        }

    def _act(self, rest: str) -> bytes:
        replica_id, _, action = rest.rpartition("/")
        probe = next(
            (each for each in self._probes if each.row.replica and each.row.replica.replica_id == replica_id),
            None,
        )
        if probe is None:
            raise BadRequest(f"no replica {replica_id[:200]!r}: GET /replicas lists them", http_status=404)
        if action == "drain":
            probe.row.state = ReplicaState.DRAINING
        elif action == "restore":
            probe.row.state = ReplicaState.STARTING
        else:
            raise BadRequest(f"no action {action[:50]!r}: there are drain and restore", http_status=404)
        self._publish()
        return msgspec.json.encode(self._describe(probe))


def _check_access_log(path: str) -> None:
    """Refuse a log that cannot be written before any worker meets it. Raises ConfigError."""
    if path:
        try:
            with open(path, "ab"):
                pass
        except OSError as error:
            raise ConfigError(
                f"cannot write access_log {path}: {error.strerror}: name another file"
            ) from None


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def run(configuration: Configuration, say: Callable[[str], None] = print) -> int:
    """Run a gateway until it is told to stop; returns the exit code. Raises ConfigError."""
    return uvloop.run(Supervisor(configuration, say).run())
