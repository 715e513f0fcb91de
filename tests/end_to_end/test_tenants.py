"""Keys, limits, models and the fair queue, with real engines and sockets."""

import asyncio
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import openai
import psutil
import pytest
from tests.harness.load import BODY, post, read_answer
from tests.harness.processes import Running, engines, metrics, running, wait_until

from steelyard.config.access import KeyOptions
from steelyard.gateway.keys import add_key, revoke_key

CONFIGURATION = """
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
workers = {workers}
access_log = "{folder}/access.log"
[keys]
file = "{folder}/keys.json"
[[tenants]]
name = "free"
[[tenants]]
name = "small"
requests_per_min = 30
tokens_per_min = 3000
models = ["emulated"]
[[tenants]]
name = "elsewhere"
models = ["another"]
[[tenants]]
name = "narrow"
max_concurrent = 2
[[pools]]
{replicas}
{more}
"""


@dataclass
class Front:
    """A gateway with keys, and the keys."""

    running: Running
    keys: dict[str, str]
    folder: Path

    @property
    def url(self) -> str:
        return self.running.addresses["gateway"]

    def ask(
        self, key: str, body: bytes = BODY, path: str = "/v1/chat/completions", kind: str = "application/json"
    ) -> tuple[int, str, dict[str, str]]:
        """(status, body, fields)."""
        fields = {"Content-Type": kind}
        request = urllib.request.Request(
            self.url + path, data=body, headers=fields | ({"Authorization": f"Bearer {key}"} if key else {})
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), dict(error.headers)


def start(folder: Path, urls: list[str], workers: int = 2, more: str = "") -> tuple[Path, dict[str, str]]:
    path = folder / "steelyard.toml"
    replicas = "\n".join(f'[[pools.replicas]]\nurl = "{url}"' for url in urls)
    path.write_text(CONFIGURATION.format(workers=workers, folder=folder, replicas=replicas, more=more))
    options = KeyOptions(file=str(folder / "keys.json"))
    names = ("free", "small", "elsewhere", "narrow")
    return path, {name: add_key(options, name, int(time.time()))[1] for name in names}


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    with engines(2) as fleet:
        yield [each.addresses["engine"] for each in fleet]


@pytest.fixture(scope="module")
def front(urls: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    path, keys = start(folder, urls)
    with running("serve", str(path), listens=("gateway", "admin")) as child:
        front = Front(child, keys, folder)
        wait_until(lambda: "emulated" in ask_models(front, "free"))
        yield front


def ask_models(front: Front, tenant: str) -> str:
    request = urllib.request.Request(
        front.url + "/v1/models", headers={"Authorization": f"Bearer {front.keys[tenant]}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def test_openais_client_gets_in_with_a_key_and_its_own_errors_without(front: Front) -> None:
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
    for key, error in ((front.keys["free"], None), ("sk-wrong", openai.AuthenticationError)):
        with openai.OpenAI(base_url=front.url + "/v1", api_key=key, max_retries=0) as client:
            if error is None:
                client.chat.completions.create(model="emulated", messages=messages, max_tokens=3)
                continue
            with pytest.raises(error):
                client.chat.completions.create(model="emulated", messages=messages)
            with pytest.raises(error):
                client.models.list()


def test_without_a_key_nothing_is_told_and_no_body_is_read(front: Front) -> None:
    for path in ("/v1/chat/completions", "/nowhere", "/health"):
        assert front.ask("", path=path)[0] == 401

    async def announce() -> bytes:
        parts = urlsplit(front.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 60000000\r\n\r\nx")
        said = await reader.read()  # until the gateway closes: at once, not after 60 MB
        writer.close()
        return said

    assert asyncio.run(asyncio.wait_for(announce(), 5)).startswith(b"HTTP/1.1 401 ")


def test_models_of_others_do_not_exist(front: Front) -> None:
    status, body, _ = front.ask(front.keys["elsewhere"])
    assert status == 404
    assert json.loads(body)["error"]["code"] == "model_not_found"
    # Nor may another way of writing the request lead to them.
    for written, kind in (
        (BODY, "text/plain"),
        (BODY.replace(b'"emulated"', b'"another", "model": "emulated"'), "application/json"),
        (
            BODY.replace(b'"model": "emulated"', b'"mod\\u0065l": "emulated", "model": "another"'),
            "application/json",
        ),
        (BODY.replace(b'"model": "emulated", ', b""), "application/json"),
    ):
        status, said, _ = front.ask(front.keys["elsewhere"], written, kind=kind)
        assert status in (400, 404), said
    assert "emulated" not in ask_models(front, "elsewhere")
    assert "emulated" in ask_models(front, "small")


def test_a_limit_over_all_workers_and_what_is_told_of_it(front: Front) -> None:
    key = front.keys["small"]
    status, _, fields = front.ask(key)
    assert status == 200
    assert fields["x-ratelimit-limit-requests"] == "30"
    assert int(fields["x-ratelimit-remaining-requests"]) <= 29
    assert fields["x-ratelimit-limit-tokens"] == "3000"
    streamed = BODY.replace(b"}]", b'}], "stream": true')
    assert "x-ratelimit-remaining-tokens" in front.ask(key, streamed)[2]
    statuses = [front.ask(key)[0] for _ in range(40)]
    # Two are gone, 28 are left, and 30 a minute come back while we ask.
    assert 28 <= statuses.count(200) <= 32
    status, body, fields = front.ask(key, BODY.replace(b'"max_tokens": 2', b'"max_tokens": 3000'))
    assert status == 429
    error = json.loads(body)["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert 1 <= int(fields["Retry-After"]) <= 60
    assert front.ask(front.keys["free"])[0] == 200


def test_concurrency_over_all_workers(front: Front) -> None:
    async def flood() -> list[int]:
        parts = urlsplit(front.url)

        async def one() -> int:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(post(BODY.replace(b": 2", b": 200"), front.keys["narrow"]))
            status, _, _ = await read_answer(reader)
            writer.close()
            return status

        return await asyncio.gather(*(one() for _ in range(12)))

    statuses = asyncio.run(flood())
    assert set(statuses) == {200, 429}
    # Both workers may admit one more in the millisecond before they hear of each other.
    assert 2 <= statuses.count(200) <= 4
    assert front.ask(front.keys["narrow"])[0] == 200


def test_keys_come_and_go_while_it_runs(front: Front) -> None:
    options = KeyOptions(file=str(front.folder / "keys.json"))
    key_id, key = add_key(options, "free", int(time.time()))
    wait_until(lambda: front.ask(key)[0] == 200)
    revoke_key(options, key_id, int(time.time()))
    wait_until(lambda: front.ask(key)[0] == 401)


def test_no_key_and_no_prompt_is_in_logs_and_metrics_and_none_reaches_an_engine(front: Front) -> None:
    front.ask(front.keys["free"], BODY.replace(b'"hi"', b'"my secret diary"'))
    time_out = time.monotonic() + 10
    log = front.folder / "access.log"
    while '"tenant":"free"' not in log.read_text():
        assert time.monotonic() < time_out
        time.sleep(0.05)
    with urllib.request.urlopen(front.running.addresses["admin"] + "/metrics", timeout=10) as answer:
        text = answer.read().decode() + log.read_text()
    assert 'steelyard_tenant_requests_total{tenant="free"}' in text
    assert "diary" not in text
    for key in front.keys.values():
        assert key[-24:] not in text


async def bogus(url: str, first: int, count: int, key: str) -> None:
    """Keys, models and paths that were never seen before, over one connection each thousand."""
    parts = urlsplit(url)
    for begin in range(first, first + count, 1000):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for number in range(begin, min(begin + 1000, first + count), 50):
            batch = range(number, number + 50)
            for each in batch:
                kind = each % 3
                head_key = f"sk-steelyard-{each:012x}-{each}" if kind == 0 else key
                path = f"/v1/{each}" if kind == 1 else "/v1/completions"
                body = b'{"model": "bogus %d", "prompt": "x"}' % each
                writer.write(post(body, head_key, path))
            for _ in batch:
                status, _, stays = await read_answer(reader)
                assert status in (401, 404), status
                assert stays
        writer.close()


def memory_bytes(child: Running) -> int:
    return sum(each.memory_info().rss for each in psutil.Process(child.process.pid).children(recursive=True))


def test_bogus_keys_models_and_paths_leave_memory_and_metrics_flat(front: Front) -> None:
    asyncio.run(bogus(front.url, 0, 6000, front.keys["free"]))
    names, memory = set(metrics(front.running)), memory_bytes(front.running)
    asyncio.run(bogus(front.url, 10_000, 12_000, front.keys["free"]))
    assert set(metrics(front.running)) == names
    assert memory_bytes(front.running) < memory * 1.1 + 2**21


def time_of(front: Front, key: str, body: bytes, count: int) -> float:
    """The median of so many requests, in seconds."""
    took_s = []
    for _ in range(count):
        started_s = time.monotonic()
        assert front.ask(key, body)[0] == 200
        took_s.append(time.monotonic() - started_s)
    return sorted(took_s)[count // 2]


async def flood(url: str, request: bytes, stop: threading.Event) -> None:
    """A hundred clients that ask again as soon as they are answered."""
    parts = urlsplit(url)

    async def one() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while not stop.is_set():
            writer.write(request)
            await read_answer(reader)
        writer.close()

    await asyncio.gather(*(one() for _ in range(100)))


def test_a_flooding_tenant_does_not_hold_up_a_quiet_one(tmp_path: Path) -> None:
    with engines(1, "--time-scale", "4") as fleet:
        more = "[pools.admission]\nmax_in_flight = 8\nmax_wait_s = 60"
        path, keys = start(tmp_path, [fleet[0].addresses["engine"]], workers=1, more=more)
        with running("serve", str(path), listens=("gateway", "admin")) as child:
            front, stop = Front(child, keys, tmp_path), threading.Event()
            wait_until(lambda: "emulated" in ask_models(front, "free"))
            body = BODY.replace(b'"max_tokens": 2', b'"max_tokens": 8')
            request = post(body, keys["free"])
            flooding = threading.Thread(target=lambda: asyncio.run(flood(front.url, request, stop)))
            flooding.start()
            try:
                wait_until(lambda: metrics(child)['steelyard_tenant_requests_running{tenant="free"}'] > 60)
                beside_s = time_of(front, keys["narrow"], body, 20)
            finally:
                stop.set()
                flooding.join(60)
            # 100 want 8 places: first come, first served would make it wait for twelve rounds. In turns it
            # waits until a place comes free, part of a round, and then runs beside seven others.
            assert beside_s < 4 * time_of(front, keys["narrow"], body, 20) + 0.1


def test_the_command_makes_a_key_that_works(front: Front) -> None:
    made = subprocess.run(
        [
            sys.executable,
            "-m",
            "steelyard",
            "keys",
            "add",
            "free",
            "--config",
            str(front.folder / "steelyard.toml"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    wait_until(lambda: front.ask(made.stdout.strip())[0] == 200)
