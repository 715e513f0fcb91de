"""Traces over real sockets: what the engine is told, and what comes at a collector."""

import importlib.util
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.harness.chaos_engine import (
    STREAM_HEAD,
    ChaosEngine,
    chaos_engines,
    closed_port,
    content_events,
    good,
    in_turn,
    says,
    says_and_resets,
    stream_of,
)
from tests.harness.collector import collector
from tests.harness.processes import Running, configured_gateway, wait_until

from steelyard.config.tracing import TracingOptions
from steelyard.model.errors import ConfigError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry") is None
    or importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is None,
    reason="needs OpenTelemetry: the extra `otel`",
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROMPT = "the launch code is swordfish"
SERVER, INTERNAL, CLIENT = 2, 1, 3  # kinds of spans, and ERROR of states, as the protocol numbers them
ERROR = 2
ANSWER = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
UNAVAILABLE, BROKEN = ANSWER % b"503 Busy", ANSWER % b"500 Oh"


@contextmanager
def traced(
    folder: Path, engines: list[ChaosEngine], endpoint: str, more: str = "", kept: str = "auto"
) -> Iterator[Running]:
    replicas = "\n".join(
        f'[[pools.replicas]]\nurl = "{each.url}"\nid = "{chr(97 + at)}"' for at, each in enumerate(engines)
    )
    tracing = f'[tracing]\nendpoint = "{endpoint}"\nservice_name = "front"\n{more}\n'
    pool = f'[[pools]]\nname = "llm"\npolicy = "round-robin"\nstreams.continuation = "{kept}"\n{replicas}\n'
    text = f"workers = 1\nseed = 3\n{tracing}{pool}"
    with configured_gateway(folder, text) as front:
        yield front


def chat(front: Running, headers: dict[str, str] | None = None, *, stream: bool = False) -> str:
    """Ask; the answer's request id."""
    messages = [{"role": "user", "content": PROMPT}]
    body = {"model": "m", "messages": messages, "max_tokens": 9, "stream": stream, "temperature": 0}
    request = urllib.request.Request(
        f"{front.addresses['gateway']}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        answer.read()
        return str(answer.headers["X-Request-Id"])


def only(spans: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(spans) == 1, spans
    return spans[0]


def test_a_request_becomes_spans_below_its_clients(tmp_path: Path) -> None:
    with (
        collector() as sink,
        chaos_engines(stream_of(["a", "b"])) as (engine,),
        traced(tmp_path, [engine], sink.url) as front,
    ):
        parent = f"00-{TRACE}-{SPAN}-01"
        request_id = chat(front, {"Traceparent": parent, "Tracestate": "vendor=1"}, stream=True)
        wait_until(lambda: len(sink.spans) == 3)
    request, pick, attempt = (
        only(sink.named(name)) for name in ("POST /v1/chat/completions", "steelyard.pick", "chat m")
    )
    assert {span["trace"] for span in sink.spans} == {TRACE}
    assert (request["parent"], pick["parent"], attempt["parent"]) == (SPAN, request["id"], request["id"])
    assert (request["kind"], pick["kind"], attempt["kind"]) == (SERVER, INTERNAL, CLIENT)
    assert (
        request["start"]
        == pick["start"]
        <= pick["end"]
        == attempt["start"]
        <= attempt["end"]
        == request["end"]
    )
    # The engine's own spans go below our attempt.
    (received,) = engine.requests
    assert received.values("traceparent") == [f"00-{TRACE}-{attempt['id']}-01"]
    assert received.values("tracestate") == ["vendor=1"]
    assert sink.resources[0]["service.name"] == "front"
    seen = request["attributes"]
    assert seen["steelyard.request_id"] == request_id
    assert (seen["http.request.method"], seen["http.response.status_code"]) == ("POST", 200)
    assert (seen["url.path"], seen["steelyard.pool"]) == ("/v1/chat/completions", "llm")
    assert pick["attributes"]["steelyard.policy"] == "round-robin"
    assert pick["attributes"]["steelyard.pick.replica"] == "a"
    check_inference(attempt["attributes"], engine.port, tokens=2)


def check_inference(told: dict[str, Any], port: int, tokens: int) -> None:
    """What the conventions for generative AI ask for."""
    assert (told["gen_ai.operation.name"], told["gen_ai.provider.name"]) == ("chat", "openai")
    assert (told["gen_ai.request.model"], told["gen_ai.request.stream"]) == ("m", True)
    assert (told["server.address"], told["server.port"]) == ("127.0.0.1", port)
    assert (told["gen_ai.request.max_tokens"], told["gen_ai.usage.output_tokens"]) == (9, tokens)
    assert told["gen_ai.usage.input_tokens"] > 0
    assert 0 < told["gen_ai.response.time_to_first_chunk"] < 10
    said = (told["gen_ai.response.id"], told["gen_ai.response.model"])
    assert (*said, told["gen_ai.response.finish_reasons"]) == ("c1", "m", ["stop"])
    assert "error.type" not in told


SAID = (
    b'{"id":"chatcmpl-9","model":"m-2","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"},'
    b'{"index":1,"message":{"content":"y"},"finish_reason":"length"}],'
    b'"usage":{"prompt_tokens":4,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}}'
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(SAID)


@pytest.mark.parametrize("pieces", [(HEAD + SAID,), (HEAD, SAID)], ids=["at once", "head, then body"])
def test_an_answer_that_is_no_stream_tells_its_id_and_why_it_ended(
    tmp_path: Path, pieces: tuple[bytes, ...]
) -> None:
    with (
        collector() as sink,
        chaos_engines(says(*pieces, stays=True)) as (engine,),
        traced(tmp_path, [engine], sink.url) as front,
    ):
        chat(front)
        wait_until(lambda: len(sink.spans) == 3)
    told = only(sink.named("chat m"))["attributes"]
    assert (told["gen_ai.response.id"], told["gen_ai.response.model"]) == ("chatcmpl-9", "m-2")
    assert told["gen_ai.response.finish_reasons"] == ["stop", "length"]
    assert told["gen_ai.usage.cache_read.input_tokens"] == 3


def test_a_stream_that_nobody_keeps_alive_tells_them_too(tmp_path: Path) -> None:
    with (
        collector() as sink,
        chaos_engines(stream_of(["a", "b"])) as (engine,),
        traced(tmp_path, [engine], sink.url, kept="off") as front,
    ):
        chat(front, stream=True)
        wait_until(lambda: len(sink.spans) == 3)
    # Events are counted there, not read: the one that ends the answer counts as well.
    check_inference(only(sink.named("chat m"))["attributes"], engine.port, tokens=3)


def test_no_word_of_a_prompt_or_an_answer_travels(tmp_path: Path) -> None:
    with (
        collector() as sink,
        chaos_engines(stream_of(["classified answer"])) as (engine,),
        traced(tmp_path, [engine], sink.url) as front,
    ):
        chat(front, {"Authorization": "Bearer sk-hidden"}, stream=True)
        wait_until(lambda: len(sink.spans) == 3)
    everything = b"".join(sink.bodies)
    assert b"POST" in everything
    for secret in (b"launch", b"swordfish", b"classified", b"sk-hidden"):
        assert secret not in everything


def test_every_decision_and_attempt_of_a_retried_request(tmp_path: Path) -> None:
    with (
        collector() as sink,
        chaos_engines(good, in_turn(says(UNAVAILABLE, stays=True), good)) as engines,
        traced(tmp_path, engines, sink.url) as front,
    ):
        for _ in range(2):
            chat(front)
        wait_until(lambda: len(sink.named("POST /v1/chat/completions")) == 2)
    retried = only(
        [
            span
            for span in sink.named("POST /v1/chat/completions")
            if span["attributes"]["steelyard.attempts"] == 2
        ]
    )
    mine = [span for span in sink.spans if span["parent"] == retried["id"]]
    picks = [span for span in mine if span["name"] == "steelyard.pick"]
    first, second = sorted(
        (span for span in mine if span["name"] == "chat m"), key=lambda span: span["start"]
    )
    assert [each["attributes"]["steelyard.pick.replica"] for each in picks] == ["b", "a"]
    assert (first["attributes"]["steelyard.replica"], first["status"]) == ("b", ERROR)
    assert first["attributes"]["error.type"] == "engine_lost"
    assert "503" in first["message"]
    assert (second["attributes"]["steelyard.replica"], second["status"]) == ("a", 0)
    assert "gen_ai.usage.output_tokens" not in first["attributes"]  # nobody may count it twice
    assert second["attributes"]["gen_ai.usage.output_tokens"] == 1
    assert first["end"] <= second["start"] + 1_000
    sent = [request.values("traceparent")[0] for engine in engines for request in engine.requests]
    assert {each.split("-")[2] for each in sent} >= {first["id"], second["id"]}


def test_an_answer_that_another_engine_goes_on_with(tmp_path: Path) -> None:
    begins = says_and_resets(STREAM_HEAD + content_events("one ", "two "))
    with (
        collector() as sink,
        chaos_engines(stream_of(["one ", "two ", "three"]), begins) as engines,
        traced(tmp_path, engines, sink.url, "sample_ratio = 1") as front,
    ):
        while not engines[1].requests:
            chat(front, stream=True)
        wait_until(lambda: any(span["status"] == ERROR for span in sink.spans))
    lost = only([span for span in sink.named("chat m") if span["status"] == ERROR])
    mine = [span for span in sink.spans if span["parent"] == lost["parent"] and span["name"] == "chat m"]
    (rest,) = [span for span in mine if span is not lost]
    assert lost["attributes"]["steelyard.replica"] == "b"
    assert lost["end"] <= rest["start"] + 1_000
    assert rest["attributes"]["steelyard.replica"] == "a"
    assert "gen_ai.usage.output_tokens" in rest["attributes"]


def test_a_request_that_no_engine_answers_ends_in_an_error(tmp_path: Path) -> None:
    with (
        collector() as sink,
        chaos_engines(says(BROKEN, stays=True)) as (engine,),
        traced(tmp_path, [engine], sink.url) as front,
    ):
        with pytest.raises(urllib.error.HTTPError):
            chat(front)
        wait_until(lambda: len(sink.spans) == 3)
    request, attempt = only(sink.named("POST /v1/chat/completions")), only(sink.named("chat m"))
    assert (request["status"], attempt["status"]) == (ERROR, ERROR)
    assert request["attributes"]["error.type"] == attempt["attributes"]["error.type"] == "500"


@pytest.mark.parametrize(
    ("ratio", "parent", "flags", "spans"),
    [
        (1.0, "", "01", 3),
        (0.0, "", "00", 0),
        (0.0, f"00-{TRACE}-{SPAN}-01", "01", 3),
        (1.0, f"00-{TRACE}-{SPAN}-00", "00", 0),
        (1.0, f"00-{TRACE}-{SPAN}-0", "01", 3),  # not valid: a trace of our own
    ],
)
def test_samples_as_told(tmp_path: Path, ratio: float, parent: str, flags: str, spans: int) -> None:
    with (
        collector() as sink,
        chaos_engines(good) as (engine,),
        traced(tmp_path, [engine], sink.url, f"sample_ratio = {ratio}") as front,
    ):
        chat(front, {"Traceparent": parent} if parent else {})
        # The gateway has ended, so all that it had to send has been sent.
    (told,) = engine.requests[0].values("traceparent")
    found = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", told)
    assert found
    assert found[3] == flags
    assert (found[1] == TRACE) is parent.endswith(("-00", "-01"))
    assert len(sink.spans) == spans


def test_the_access_log_names_the_trace(tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    with collector() as sink, chaos_engines(good) as (engine,), ExitStack() as stack:
        replica = f'[[pools.replicas]]\nurl = "{engine.url}"'
        text = (
            f'workers = 1\naccess_log = "{log}"\n[tracing]\nendpoint = "{sink.url}"\n[[pools]]\n{replica}\n'
        )
        chat(stack.enter_context(configured_gateway(tmp_path, text)))
        wait_until(lambda: bool(sink.spans) and bool(log.read_text()))
        assert json.loads(log.read_text())["trace_id"] == sink.spans[0]["trace"]


def test_a_collector_that_is_gone_costs_no_request(tmp_path: Path) -> None:
    with (
        closed_port() as nowhere,
        chaos_engines(good) as (engine,),
        traced(tmp_path, [engine], nowhere, "timeout_s = 0.2") as front,
    ):
        for _ in range(5):
            chat(front)
    assert len(engine.requests) == 5


def test_off_it_touches_nothing(tmp_path: Path) -> None:
    parent = f"00-{TRACE}-{SPAN}-01"
    with chaos_engines(good) as (engine,):
        text = f'workers = 1\n[[pools]]\n[[pools.replicas]]\nurl = "{engine.url}"\n'
        with configured_gateway(tmp_path, text) as front:
            chat(front, {"Traceparent": parent, "Tracestate": "a=1"})
            chat(front)
    first, second = engine.requests
    assert (first.values("traceparent"), first.values("tracestate")) == ([parent], ["a=1"])
    assert second.values("traceparent") == []
    check = (
        "import steelyard.gateway.worker, sys; sys.exit(any('opentelemetry' in name for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_mistakes_are_named() -> None:
    for options, words in (
        ({"endpoint": "collector:4318"}, "must look like http://HOST:4318"),
        ({"sample_ratio": 1.5}, "sample_ratio is 1.5"),
        ({"timeout_s": 0.0}, "timeout_s is 0.0"),
        ({"service_name": ""}, "service_name is empty"),
    ):
        with pytest.raises(ConfigError, match=words):
            TracingOptions(**options)
    assert TracingOptions(endpoint="http://c:4318").url == "http://c:4318/v1/traces"
    assert TracingOptions(endpoint="http://c:4318/otlp/v1/traces").url == "http://c:4318/otlp/v1/traces"
