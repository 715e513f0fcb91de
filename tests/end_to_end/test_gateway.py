"""The gateway with real engines, real sockets and real crashes."""

import asyncio
import json
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from random import Random
from urllib.parse import urlsplit

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.harness.processes import Running, engines, gateway, metrics, wait_until

from steelyard.replay.run import replay
from steelyard.traces.request import TraceRequest


@pytest.fixture(scope="module")
def fleet() -> Iterator[Running]:
    """Two engines behind a gateway of two workers."""
    with (
        engines(2) as running,
        gateway(*(each.addresses["engine"] for each in running), options=("--workers", "2")) as front,
    ):
        wait_until(lambda: "emulated" in get(front, "/v1/models"))
        yield front


def get(front: Running, path: str, name: str = "gateway") -> str:
    with urllib.request.urlopen(front.addresses[name] + path, timeout=10) as answer:
        return str(answer.read().decode())


def raw(front: Running, data: bytes, *, until_closed: bool = True) -> bytes:
    """Send bytes; read until the gateway closes."""
    parts = urlsplit(front.addresses["gateway"])
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as client:
        client.sendall(data)
        received = b""
        while until_closed and (piece := client.recv(65_536)):
            received += piece
        return received


def chat_request(**fields: object) -> bytes:
    body = json.dumps(
        {"model": "emulated", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, **fields}
    )
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n"
    return (head + "Connection: close\r\n\r\n" + body).encode()


def test_the_unmodified_openai_client_works(fleet: Running) -> None:
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
    with openai.OpenAI(base_url=fleet.addresses["gateway"] + "/v1", api_key="none", max_retries=0) as client:
        whole = client.chat.completions.create(model="emulated", messages=messages, max_tokens=6)
        chunks = list(
            client.chat.completions.create(
                model="emulated",
                messages=messages,
                max_tokens=6,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        assert [model.id for model in client.models.list()] == ["emulated"]
        assert client.embeddings.create(model="emulated", input=["a", "b"]).data[1].index == 1
        with pytest.raises(openai.NotFoundError, match="no replica can serve model 'bogus'"):
            client.chat.completions.create(model="bogus", messages=messages)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert streamed == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6


def test_the_async_openai_client_works(fleet: Running) -> None:
    async def ask() -> str:
        async with openai.AsyncOpenAI(
            base_url=fleet.addresses["gateway"] + "/v1", api_key="none", max_retries=0
        ) as client:
            stream = await client.chat.completions.create(
                model="emulated", messages=[{"role": "user", "content": "x"}], max_tokens=4, stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert len(asyncio.run(ask()).split()) == 4


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\nHost: h\n\n", b"400"),
        (b"GARBAGE\r\n\r\n", b"400"),
        (
            b"POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"400",
        ),
        (b"POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 40_000, b"431"),
        (b"GET /" + b"y" * 40_000, b"414"),
        (b"POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"501"),
    ],
)
def test_what_is_no_request_is_refused_and_harms_nobody(fleet: Running, data: bytes, status: bytes) -> None:
    answer = raw(fleet, data)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert raw(fleet, chat_request()).startswith(b"HTTP/1.1 200")


def test_a_body_that_is_no_json_is_the_callers_mistake(fleet: Running) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
    answer = raw(fleet, head + b"{x}")
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_json"


def test_pipelined_requests_are_answered_in_order(fleet: Running) -> None:
    one = b"GET /v1/models HTTP/1.1\r\nHost: h\r\nX-Request-Id: first\r\n\r\n"
    answer = raw(fleet, one + chat_request(max_tokens=2))
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.index(b"X-Request-Id: first") < answer.index(b"chat.completion")


def test_a_chunked_body_delivered_byte_by_byte_with_a_continue(fleet: Running) -> None:
    body = chat_request().partition(b"\r\n\r\n")[2]
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
        b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    parts = urlsplit(fleet.addresses["gateway"])
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(head)
        assert client.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for byte in b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body):
            client.sendall(bytes([byte]))
        answer = b""
        while piece := client.recv(65_536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_client_that_half_closes_still_gets_its_answer(fleet: Running) -> None:
    parts = urlsplit(fleet.addresses["gateway"])
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as client:
        client.sendall(chat_request())
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65_536):
            answer += piece
    assert b"HTTP/1.1 200 OK" in answer
    assert b"chat.completion" in answer


def test_metrics_are_valid_and_the_ledger_returns_to_zero(fleet: Running) -> None:
    raw(fleet, chat_request())
    families = {family.name for family in text_string_to_metric_families(get(fleet, "/metrics", "admin"))}
    assert {"steelyard_requests", "steelyard_time_to_first_token_seconds", "steelyard_replica_up"} <= families
    in_flight = "steelyard_replica_requests_in_flight{"
    wait_until(
        lambda: all(value == 0 for name, value in metrics(fleet).items() if name.startswith(in_flight))
    )


def test_the_admin_port_refuses_other_origins_and_changes_by_get(fleet: Running) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        request = urllib.request.Request(fleet.addresses["admin"] + "/metrics", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)
        assert caught.value.code == 403
        caught.value.close()


def running_on(engine: Running) -> int:
    text = get(engine, "/metrics", "engine")
    return sum(
        int(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("vllm:num_requests_")
    )


@pytest.mark.parametrize("streams", [True, False])
def test_a_client_that_leaves_ends_the_engines_work(streams: bool) -> None:
    with engines(1) as (engine,), gateway(engine.addresses["engine"], options=("--workers", "1")) as front:
        parts = urlsplit(front.addresses["gateway"])
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as client:
            client.sendall(chat_request(stream=streams, max_tokens=60_000))
            wait_until(lambda: running_on(engine) == 1)
        wait_until(lambda: running_on(engine) == 0, timeout_s=5)
        wait_until(lambda: metrics(front)['steelyard_requests_total{pool="default",status="left"}'] == 1)


def test_an_engine_killed_under_load_loses_nothing_that_had_not_begun() -> None:
    rng = Random(1)
    requests = [
        TraceRequest(
            arrival_s=at / 200, prompt_tokens=rng.randrange(50, 2_000), output_tokens=rng.randrange(2, 12)
        )
        for at in range(600)
    ]

    async def run(front: Running, victim: Running) -> dict[str, int]:
        task = asyncio.create_task(
            replay([*requests], front.addresses["gateway"], model="emulated", timeout_s=60)
        )
        await asyncio.sleep(1)
        victim.process.send_signal(signal.SIGKILL)
        outcomes, _ = await task
        kinds = [outcome.kind for outcome in outcomes]
        return {kind: kinds.count(kind) for kind in ("ok", "cut", "failed", "refused")}

    with engines(4, "--profile", "llama2-70b-h100x8") as running:
        urls = [each.addresses["engine"] for each in running]
        with gateway(*urls, options=("--workers", "1", "--policy", "least-requests")) as front:
            kinds = asyncio.run(run(front, running[0]))
    assert kinds["failed"] + kinds["refused"] == 0
    assert kinds["ok"] + kinds["cut"] == len(requests)


def test_a_killed_worker_is_replaced_and_counters_stay_right() -> None:
    with engines(1) as (engine,), gateway(engine.addresses["engine"], options=("--workers", "1")) as front:
        for _ in range(5):
            raw(front, chat_request())
        ok = 'steelyard_requests_total{pool="default",status="2xx"}'
        wait_until(lambda: metrics(front)[ok] == 5)
        (worker,) = json.loads(get(front, "/workers", "admin"))
        os.kill(worker["pid"], signal.SIGKILL)
        # The listening socket outlives its worker: a request sent now waits for the next one.
        assert raw(front, chat_request()).startswith(b"HTTP/1.1 200")
        wait_until(lambda: metrics(front)[ok] == 6)
        assert metrics(front)["steelyard_worker_restarts_total"] == 1


def test_sigterm_lets_a_stream_end() -> None:
    with engines(1) as (engine,), gateway(engine.addresses["engine"], options=("--workers", "1")) as front:
        parts = urlsplit(front.addresses["gateway"])
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as client:
            client.sendall(chat_request(stream=True, max_tokens=400))
            answer = client.recv(65_536)
            front.process.send_signal(signal.SIGTERM)
            while piece := client.recv(65_536):
                answer += piece
        assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert front.process.wait(timeout=10) == 0


def test_a_drained_replica_gets_nothing_until_it_is_restored() -> None:
    with engines(2) as running:
        urls = [each.addresses["engine"] for each in running]
        with gateway(*urls, options=("--workers", "1", "--policy", "round-robin")) as front:
            name = urls[0].removeprefix("http://")

            def post(action: str) -> None:
                request = urllib.request.Request(
                    f"{front.addresses['admin']}/replicas/{name}/{action}", method="POST"
                )
                urllib.request.urlopen(request, timeout=10).close()

            post("drain")
            drained = f'steelyard_replica_requests_total{{replica="{name}",outcome="ok"}}'
            other = drained.replace(name, urls[1].removeprefix("http://"))
            # Workers look at the fleet table five times a second: the drain holds from the next look on.
            before = metrics(front)[drained]

            def two_more() -> bool:
                seen = metrics(front)
                raw(front, chat_request())
                raw(front, chat_request())
                both = seen[drained] + seen[other] + 2  # counts are published a millisecond later
                wait_until(lambda: metrics(front)[drained] + metrics(front)[other] >= both)
                return metrics(front)[drained] == seen[drained]

            wait_until(two_more)
            post("restore")

            def served_again() -> bool:
                raw(front, chat_request())
                return metrics(front)[drained] > before

            wait_until(served_again)


def test_requests_that_came_whole_before_a_half_close_are_all_answered(fleet: Running) -> None:
    one = chat_request().replace(b"Connection: close\r\n", b"")
    parts = urlsplit(fleet.addresses["gateway"])
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as client:
        client.sendall(one + one + one)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while piece := client.recv(65_536):
            received += piece
    assert received.count(b"HTTP/1.1 200 OK") == 3


def test_a_request_behind_a_chunked_one_does_not_wait_for_more_bytes(fleet: Running) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = head + b"2\r\n[]\r\n0\r\n\r\n"
    answer = raw(fleet, chunked + chat_request())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 200 OK") == 1


def test_a_name_that_is_no_name_is_not_kept(fleet: Running) -> None:
    body = b'{"model": "' + b"m" * 300 + b'", "messages": []}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    answer = raw(fleet, head % len(body) + body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"over 256 characters" in answer
