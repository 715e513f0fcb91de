"""The gateway as the console sees it: samples of its counters, receipts, the configuration, actions.

A sample reads only the words that it shows, in all rows of the newest generation's page; 0.2 ms for 200
replicas and two workers. Counts begin anew with a reload, as the page does: whoever takes differences
sees that they fell.
"""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from steelyard.config.schema import Configuration
from steelyard.gateway import meters
from steelyard.gateway.admin_pages import AdminPages, Console, Gateway
from steelyard.gateway.generation import Generation
from steelyard.gateway.probes import Probe
from steelyard.model.gateway_sample import GatewaySample, ReplicaSample
from steelyard.runtime.page import MAX_SLOTS


class ConsoleSource:
    """Everything that the console asks of a gateway."""

    def __init__(self, gateway: Gateway, pages: AdminPages) -> None:
        self._gateway = gateway
        self._pages = pages

    @property
    def configuration(self) -> Configuration:
        """The one that serves. Raises ConfigError while the gateway starts."""
        return self._gateway.generation.configuration

    def sample(self) -> GatewaySample:
        """Now. Raises ConfigError while the gateway starts."""
        generation, status = self._gateway.generation, self._gateway.status()
        counters = [generation.page.counter_row(row) for row in range(generation.page.workers)]
        pools = len(generation.configuration.pools)
        classes = _sums(counters, meters.POOLS_AT, pools * meters.STATUS_CLASSES_COUNT)
        plain = dict(zip(meters.PLAIN, _sums(counters, 0, len(meters.PLAIN)), strict=True))
        ttft_words = len(meters.TTFT_BOUNDS_S) + 2
        ttft = _folded(_sums(counters, meters.TTFT_AT, pools * ttft_words), ttft_words)
        return GatewaySample(
            at_s=time.time(),
            monotonic_s=time.monotonic(),
            up_s=float(str(status["up_s"])),
            pid=int(str(status["pid"])),
            generation=generation.number,
            retiring=len(self._gateway.retiring),
            ready=self._gateway.ready,
            workers=len(generation.workers.workers),
            worker_restarts=generation.restarts,
            requests=dict(
                zip(meters.STATUS_CLASSES, _folded(classes, meters.STATUS_CLASSES_COUNT), strict=True)
            ),
            retries=plain["retries"],
            cut_streams=plain["cut_streams"],
            continued_streams=plain["stream_continuations"],
            ttft_counts=tuple(ttft[:-1]),
            ttft_bounds_s=tuple(float(bound) for bound in meters.TTFT_BOUNDS_S),
            ttft_sum_s=ttft[-1] / 1e6,
            replicas=_replicas(generation, counters),
        )

    async def picks(self, text: str = "") -> list[dict[str, Any]]:
        """The newest receipts, those that a text occurs in, without what was compared. Raises BadRequest."""
        return await self._gateway.generation.picks(text)

    async def why(self, request_id: str) -> list[dict[str, Any]]:
        """The receipts of one request, first try first. Raises BadRequest when none is kept."""
        found = await self._gateway.generation.inquire(f"/why/{request_id}")
        return found if isinstance(found, list) else []

    async def shadow(self) -> dict[str, Any]:
        """What shadow policies would have done. Raises BadRequest."""
        found = await self._gateway.generation.inquire("/shadow")
        return found if isinstance(found, dict) else {}

    async def change_replica(self, replica_id: str, action: str, who: str) -> object:
        """Drain or restore, as the admin port's own action, recorded as such. Raises BadRequest."""
        return await self._pages.act(f"/replicas/{replica_id}/{action}", who)

    async def recorded(self, who: str, what: str, action: Callable[[], Awaitable[object]]) -> object:
        """Do something of another plane, with the same record. Raises BadRequest."""
        return await self._pages.recorded(who, what, action)


def _sums(rows: Iterable[memoryview], start: int, count: int) -> list[int]:
    return [sum(words) for words in zip(*(row[start : start + count].tolist() for row in rows), strict=True)]


def _folded(words: list[int], width: int) -> list[int]:
    """All pools' words added up, place by place."""
    return [sum(words[place::width]) for place in range(width)]


def _replicas(generation: Generation, counters: list[memoryview]) -> tuple[ReplicaSample, ...]:
    slots = len(generation.rows)
    outcomes = _sums(counters, meters.REPLICAS_AT, slots * meters.OUTCOMES_COUNT)
    ledger = [generation.page.ledger_row(row) for row in range(generation.page.workers)]
    load = [_sums(ledger, column * MAX_SLOTS, slots) for column in range(3)]
    probes = {id(probe.row): probe for probe in generation.probes}
    found = []
    for slot, row in enumerate(generation.rows):
        probe = probes.get(id(row))
        if probe is not None:
            ended = outcomes[slot * meters.OUTCOMES_COUNT : (slot + 1) * meters.OUTCOMES_COUNT]
            found.append(_replica(probe, [column[slot] for column in load], ended))
    return tuple(found)


def _replica(probe: Probe, load: list[int], ended: list[int]) -> ReplicaSample:
    row, replica = probe.row, probe.row.replica
    assert replica is not None  # probes are made for replicas only
    told = row.load
    return ReplicaSample(
        replica_id=replica.replica_id,
        url=replica.base_url,
        pool=replica.pool,
        state=row.state.value,
        models=tuple(replica.models),
        weight=replica.weight,
        in_flight=load[0],
        queued_prompt_tokens=load[1],
        expected_output_tokens=load[2],
        ok=ended[0],
        client_errors=ended[1],
        server_errors=ended[2],
        engine=told.dialect if told is not None else "",
        waiting=told.waiting_requests if told is not None else None,
        running=told.running_requests if told is not None else None,
        kv_used_fraction=told.kv_used_fraction if told is not None else None,
        kv_capacity_tokens=(told.kv_capacity_tokens if told is not None else None)
        or replica.kv_capacity_tokens
        or None,
        probe_failures=probe.failures,
        last_error=probe.last_error,
    )


MakeConsole = Callable[[ConsoleSource], Console]
