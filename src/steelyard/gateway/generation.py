"""One configuration at work: its fleet table, its probes, its workers, the page that they share.

A reload makes a new generation beside the old one, which then retires: it serves what it has begun, with the
configuration and the replicas that it began with, and goes. What a new generation should know of an old one
is handed over: what was found out of replicas that are in both, and the load that it still has on them.
"""

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import replace
from socket import socket
from time import monotonic
from typing import Any

from steelyard.cluster.membership import ReplicaState
from steelyard.config.schema import Configuration, PoolOptions
from steelyard.gateway import fleet_table, metrics
from steelyard.gateway.inquiry import Inquiry
from steelyard.gateway.probes import Probe
from steelyard.gateway.scrapes import Scrape
from steelyard.gateway.tenants import subjects
from steelyard.gateway.tls import EngineLink
from steelyard.gateway.worker_start import WorkerStart, encode
from steelyard.model.fleet import Replica
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.runtime.limit_page import LimitPage, SlotTable
from steelyard.runtime.page import LEDGER_COLUMNS, MAX_SLOTS, SharedPage
from steelyard.runtime.watchdog import LOOK_S, Watchdog
from steelyard.runtime.workers import Process, RowPool, Workers

LOADS_S = 0.2  # as often as workers look
WORKER_MODULE = "steelyard.gateway.worker"


class Generation:
    """From start to its last answer."""

    def __init__(
        self,
        number: int,
        configuration: Configuration,
        listeners: Iterable[list[socket]],
        limits: LimitPage,
        limit_rows: RowPool,
        slots: SlotTable,
    ) -> None:
        self.number = number
        self.configuration = configuration
        # Two rows a worker (it and its successor), and one for the load that older generations still have.
        entries = configuration.prefix_index_entries
        self.page = SharedPage.create(2 * configuration.workers + 1, PrefixIndex.bytes_needed(entries))
        self._prefixes = PrefixIndex(self.page.index_memory, entries)
        for row in range(configuration.workers, self.page.workers):
            self.page.set_in_use(row, False)
        self.rows = fleet_table.rows_of(configuration)
        by_name = {pool.name: pool for pool in configuration.pools}
        self.probes = [
            _probe_of(row, row.replica, by_name[row.replica.pool])
            for row in self.rows
            if row.replica is not None
        ]
        self._limits = limits
        queues = [pool.name for pool in configuration.pools if pool.admission.limits_replicas]
        self.limit_slots = slots.assign(subjects(configuration.tenants, queues))
        self.workers = Workers(
            WORKER_MODULE,
            self.page,
            listeners,
            limit_rows,
            self._start_message,
            inherited=(limits.descriptor,),
            ended=self._worker_ended,
        )
        self._scrapes = [
            Scrape(probe.row, probe.options, probe.link)
            for probe in self.probes
            if probe.asks_for_models and probe.options.metrics_path
        ]
        self._loads_changed = False
        self._board = self.page.question_board()
        self._inquiry = Inquiry(self._board, _names(self.rows))
        self._watchdog = Watchdog(configuration.stalled_worker_timeout_s)
        self.given_up = 0
        self._probing: list[asyncio.Task[None]] = []

    def _start_message(self, limit_row: int) -> bytes:
        return encode(
            WorkerStart(
                configuration=self.configuration,
                limit_descriptor=self._limits.descriptor,
                limit_rows=self._limits.rows,
                limit_row=limit_row,
                limit_slots=self.limit_slots,
            )
        )

    def _worker_ended(self, process: Process) -> None:
        self._limits.end_row(process.limit_row, self.limit_slots.values())

    # --- life ----------------------------------------------------------------------------------

    async def start(self, before: "Generation | None" = None) -> None:
        """Start the workers, knowing what the generation before found out. Raises ConfigError."""
        if before is not None:
            self._learn(before)
        self.publish()
        await self.workers.start()
        self._probing = [asyncio.create_task(self._probe(probe)) for probe in self.probes]
        self._probing += [asyncio.create_task(self._scrape(scrape)) for scrape in self._scrapes]
        self._probing.append(asyncio.create_task(self._publish_loads()))
        self._probing.append(asyncio.create_task(self._watch_loops()))

    def _learn(self, before: "Generation") -> None:
        if _names(self.rows) == _names(before.rows) and len(self.page.index_memory) == len(
            before.page.index_memory
        ):
            self.page.index_memory[:] = before.page.index_memory  # slot for slot the same replicas
        known = {row.replica.replica_id: row for row in before.rows if row.replica is not None}
        pools = before.configuration.pools
        asked = {each.name for pool in pools for each in pool.replicas if not each.models}
        for row in self.rows:
            if row.replica is None or (old := known.get(row.replica.replica_id)) is None:
                continue
            if old.replica is None or old.replica.base_url != row.replica.base_url:
                continue
            row.state = old.state
            if not row.replica.models and row.replica.replica_id in asked:
                row.replica = replace(row.replica, models=old.replica.models)

    async def retire(self) -> None:
        """Serve what was begun; return when that is done."""
        try:
            await self.workers.retire(self.configuration.old_worker_timeout_s)
        finally:
            self._stop_probing()

    async def stop(self, timeout_s: float) -> None:
        """End within a time."""
        self._stop_probing()
        await self.workers.stop(timeout_s)

    def _stop_probing(self) -> None:
        for task in self._probing:
            task.cancel()

    async def _probe(self, probe: Probe) -> None:
        while True:
            if await probe.run_once():
                if probe.row.state is ReplicaState.UNHEALTHY:
                    # It probably starts anew, with an empty cache; if not, its cache is learned again.
                    self._prefixes.forget(self.rows.index(probe.row))
                self.publish()
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
                self.publish()

    async def _watch_loops(self) -> None:
        """A worker whose event loop stands still serves nobody: it is replaced."""
        while True:
            await asyncio.sleep(LOOK_S)
            processes = {each.handle.pid: each for each in self.workers.processes}
            beats = {pid: self._board.beats(each.row) for pid, each in processes.items()}
            for pid in self._watchdog.look(monotonic(), beats):
                self.given_up += 1
                print(f"steelyard: worker {pid} has stalled: it is replaced", file=sys.stderr, flush=True)
                processes[pid].handle.kill()

    def publish(self) -> None:
        """Let the workers know the fleet as it is."""
        self.page.publish_fleet(fleet_table.encode(self.rows))

    # --- what is told --------------------------------------------------------------------------

    async def inquire(self, path: str) -> object:
        """A page made of what workers answer: /picks, /shadow, /why/REQUEST_ID. Raises BadRequest."""
        return await self._inquiry.read(path, self._asked(), self.configuration)

    async def picks(self, text: str) -> list[dict[str, Any]]:
        """The newest picks, those that a text occurs in, without what was compared. Raises BadRequest."""
        return await self._inquiry.listed(text, self._asked())

    def _asked(self) -> dict[int, int]:
        return {process.row: process.handle.pid for process in self.workers.processes}

    @property
    def restarts(self) -> int:
        """Of workers that died."""
        return sum(worker.restarts for worker in self.workers.workers)

    def metrics(self) -> bytes:
        """As Prometheus text."""
        pools = [pool.name for pool in self.configuration.pools]
        text = metrics.render(self.page, self.rows, pools, self.restarts)
        return text + metrics.render_loops(self._watchdog.stalled, self._board.late_beats(), self.given_up)

    def in_flight(self) -> dict[str, list[int]]:
        """What this generation's workers have on each replica: a count a column of the ledger."""
        rows = [self.page.ledger_row(number) for number in range(self.page.workers - 1)]
        return {
            row.replica.replica_id: [
                sum(words[column * MAX_SLOTS + slot] for words in rows) for column in range(LEDGER_COLUMNS)
            ]
            for slot, row in enumerate(self.rows)
            if row.replica is not None
        }

    def carry(self, loads: Iterable[dict[str, list[int]]]) -> None:
        """Take note of what older generations have in flight, for our workers' picks."""
        last = self.page.workers - 1
        ours, every = self.page.ledger_row(last), list(loads)
        if bool(every) != (last in self.page.rows_in_use):
            self.page.set_in_use(last, bool(every))
        for slot, row in enumerate(self.rows):
            if row.replica is None:
                continue
            counts = [each[row.replica.replica_id] for each in every if row.replica.replica_id in each]
            for column in range(LEDGER_COLUMNS):
                ours[column * MAX_SLOTS + slot] = sum(count[column] for count in counts)

    def set_state(self, replica_id: str, state: ReplicaState) -> Probe | None:
        """Drain a replica or take it back; None when there is none of that name."""
        for probe in self.probes:
            if probe.row.replica is not None and probe.row.replica.replica_id == replica_id:
                probe.row.state = state
                self.publish()
                return probe
        return None


def _names(rows: list[fleet_table.Row]) -> list[str]:
    return [row.replica.replica_id if row.replica is not None else "" for row in rows]


def _probe_of(row: fleet_table.Row, replica: Replica, pool: PoolOptions) -> Probe:
    link = EngineLink.to(replica.base_url, pool.engine)
    return Probe(row, pool.health, pool.kind == "openai", link)


def describe(probe: Probe) -> dict[str, object]:
    """A replica as the admin port shows it."""
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
