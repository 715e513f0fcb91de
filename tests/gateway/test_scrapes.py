"""What engines report of their load reaches the admin port and, in workers, the policies."""

import asyncio
import contextlib
import json
import socket
import urllib.request
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.harness.processes import Running, engines, gateway, metrics, wait_until

from steelyard.cluster.membership import Membership, ReplicaState
from steelyard.config.schema import HealthOptions
from steelyard.engines.dialects import EngineLoad
from steelyard.gateway import fleet_table
from steelyard.gateway.scrapes import GIVE_UP_AFTER, SELDOM_S, Scrape
from steelyard.model.fleet import UNKNOWN, Replica

TEXT = b"vllm:num_requests_running 3\nvllm:num_requests_waiting 2\nvllm:kv_cache_usage_perc 0.25\n"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(TEXT), TEXT)


@contextlib.asynccontextmanager
async def page_server(answers: list[bytes]) -> AsyncIterator[str]:
    """Gives the answers in turn, the last one again and again."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0) if len(answers) > 1 else answers[0])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_a_load_is_kept_over_a_page_that_came_late_and_forgotten_after_several() -> None:
    nothing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    async def run() -> None:
        async with page_server([PAGE, nothing]) as url:
            row = fleet_table.Row(Replica(replica_id="r", base_url=url), ReplicaState.HEALTHY)
            scrape = Scrape(row, HealthOptions())
            assert await scrape.run_once()
            load = EngineLoad(dialect="vllm", running_requests=3, waiting_requests=2, kv_used_fraction=0.25)
            assert row.load == load
            for _ in range(GIVE_UP_AFTER - 1):
                assert not await scrape.run_once()
            assert (row.load, scrape.pause_s) == (load, 1.0)
            assert await scrape.run_once()
            assert scrape.row.load is None
            assert scrape.pause_s == SELDOM_S

    asyncio.run(run())


def test_the_fleet_table_carries_loads_and_unknown_is_not_zero() -> None:
    load = EngineLoad(
        dialect="sglang",
        running_requests=4,
        waiting_requests=None,
        kv_used_fraction=0.5,
        kv_capacity_tokens=9_000,
    )
    rows = [
        fleet_table.Row(Replica(replica_id="a", base_url="http://a"), ReplicaState.HEALTHY, load),
        fleet_table.Row(Replica(replica_id="b", base_url="http://b"), ReplicaState.HEALTHY),
    ]
    membership = Membership()
    fleet_table.apply(fleet_table.encode(rows), membership)
    fleet, version = membership.fleet, membership.fleet.version
    assert (fleet.reported_running, fleet.reported_waiting) == ([4, UNKNOWN], [UNKNOWN, UNKNOWN])
    assert fleet.reported_kv_used == [0.5, UNKNOWN]
    # A new load is no new fleet: what policies and the router keep of the set stays good.
    rows[1].load = load
    fleet_table.apply(fleet_table.encode(rows), membership)
    assert (fleet.reported_running, fleet.version) == ([4, 4], version)
    assert fleet.kv_capacity_tokens == [9_000, 9_000]
    rows[0].replica = Replica(replica_id="a", base_url="http://a", kv_capacity_tokens=500)
    fleet_table.apply(fleet_table.encode(rows), membership)
    assert fleet.kv_capacity_tokens == [500, 9_000]  # what the operator says holds


@pytest.mark.parametrize("streams", [2])
def test_a_running_engines_load_is_seen_at_the_admin_port(streams: int) -> None:
    def replica(front: Running) -> Any:
        with urllib.request.urlopen(front.addresses["admin"] + "/replicas", timeout=10) as answer:
            return json.load(answer)[0]

    with engines(1, "--time-scale", "1") as (engine,), gateway(engine.addresses["engine"]) as front:
        parts = urlsplit(engine.addresses["engine"])  # asked past the gateway: only the engine knows of these
        body = json.dumps({"model": "emulated", "prompt": "x", "max_tokens": 60_000, "stream": True})
        request = f"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        with contextlib.ExitStack() as stack:
            for _ in range(streams):
                address = (parts.hostname or "", parts.port or 0)
                client = stack.enter_context(socket.create_connection(address, timeout=10))
                client.sendall(request.encode())
            wait_until(lambda: (replica(front)["load"] or {}).get("running_requests") == streams)
            name = f'steelyard_replica_reported_running_requests{{replica="{parts.netloc}"}}'
            assert metrics(front)[name] == streams
