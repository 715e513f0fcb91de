"""Row 40: a tenant that floods meets its own limit; another one does not notice."""

import asyncio
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from tests.end_to_end.fault_fleet import pool
from tests.harness.chaos_engine import Received, chaos_engines, good
from tests.harness.load import post, read_answer
from tests.harness.processes import running

from steelyard.config.access import KeyOptions
from steelyard.gateway.keys import add_key

ENGINE_S = 0.03
QUIET_REQUESTS = 60
LIMIT = 30
PATH = "/p/v1/chat/completions"
BODY = b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":2}'
CONFIGURATION = """
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
workers = 1
[keys]
file = "{folder}/keys.json"
[[tenants]]
name = "flood"
requests_per_min = {limit}
[[tenants]]
name = "quiet"
"""


def as_engines_are(client: socket.socket, request: Received) -> bool:
    time.sleep(ENGINE_S)
    return good(client, request)


async def _quiet(url: str, key: str) -> list[float]:
    parts, took_s = urlsplit(url), list[float]()
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    for _ in range(QUIET_REQUESTS):
        started_s = time.monotonic()
        writer.write(post(BODY, key, PATH))
        status, _, _ = await read_answer(reader)
        took_s.append(time.monotonic() - started_s)
        assert status == 200
    writer.close()
    return sorted(took_s)


async def _flood(
    url: str, key: str, stop: threading.Event, seen: Counter[int], begun: threading.Event
) -> None:
    parts = urlsplit(url)

    async def one() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while not stop.is_set():
            writer.write(post(BODY, key, PATH))
            status, body, stays = await read_answer(reader)
            seen[status] += 1
            assert stays
            if status == 429:
                assert b"rate_limit_exceeded" in body
                begun.set()
            await asyncio.sleep(0.02)  # ten of them: some 500 a second, thousands of times the limit
        writer.close()

    await asyncio.gather(*(one() for _ in range(10)))


def test_a_flood_meets_its_own_limit_and_nobody_else_waits_for_it(tmp_path: Path) -> None:
    with chaos_engines(as_engines_are) as (engine,):
        path = tmp_path / "steelyard.toml"
        path.write_text(CONFIGURATION.format(folder=tmp_path, limit=LIMIT) + pool("p", engine.url))
        options = KeyOptions(file=str(tmp_path / "keys.json"))
        keys = {name: add_key(options, name, int(time.time()))[1] for name in ("flood", "quiet")}
        with running("serve", str(path), listens=("gateway", "admin")) as front:
            url = front.addresses["gateway"]
            alone_s = asyncio.run(_quiet(url, keys["quiet"]))
            seen, stop, begun = Counter[int](), threading.Event(), threading.Event()
            flooding = threading.Thread(
                target=lambda: asyncio.run(_flood(url, keys["flood"], stop, seen, begun))
            )
            flooding.start()
            try:
                assert begun.wait(20)
                beside_s = asyncio.run(_quiet(url, keys["quiet"]))
            finally:
                stop.set()
                flooding.join(30)
            assert set(seen) == {200, 429}
            assert seen[200] <= LIMIT + LIMIT * 30 / 60  # a burst, and what came back since
            assert seen[429] > 3 * LIMIT
            # A tenth more, and what a busy machine's scheduler may take from any request.
            assert beside_s[QUIET_REQUESTS // 2] < 1.1 * alone_s[QUIET_REQUESTS // 2] + 0.03
            assert beside_s[-2] < 1.1 * alone_s[-2] + 0.2
