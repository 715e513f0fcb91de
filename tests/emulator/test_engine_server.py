"""The emulated engine over real sockets: what clients of a real engine rely on."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.harness.processes import Running, running, wait_until

from steelyard.engines.text import tokens

MODEL = 'a "quoted" model'
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": "hello " * 400}]
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def engine() -> Iterator[Running]:
    """One engine, fifty times as fast as its profile."""
    options = ("--port", "0", "--time-scale", "50", "--model", MODEL)
    with running("engine", *options, listens=("engine",)) as child:
        yield child


@pytest.fixture
def client(engine: Running) -> Iterator[openai.OpenAI]:
    """The unmodified OpenAI client."""
    base_url = engine.addresses["engine"] + "/v1"
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=30) as made:
        yield made


def connect(engine: Running) -> socket.socket:
    parts = urlsplit(engine.addresses["engine"])
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def ask(engine: Running, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection(urlsplit(engine.addresses["engine"]).netloc, timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def gauges(engine: Running) -> dict[str, float]:
    status, text = ask(engine, "GET", "/metrics")
    assert status == 200
    families = list(text_string_to_metric_families(text.decode()))
    samples = [sample for family in families for sample in family.samples]
    assert {sample.labels["model_name"] for sample in samples} == {MODEL}
    return {sample.name.removeprefix("vllm:"): sample.value for sample in samples}


def body(**fields: object) -> bytes:
    return json.dumps({"model": MODEL, "messages": MESSAGES} | fields).encode()


def read_to_end(stream: socket.socket) -> bytes:
    parts = []
    while part := stream.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_the_openai_client_gets_exactly_the_tokens_it_asked_for(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_completion_tokens=7)  # type: ignore[arg-type]  # messages as plain dicts
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7
    assert len((answer.choices[0].message.content or "").split()) == 7


def test_a_stream_has_the_tokens_of_the_whole_answer_and_its_usage(client: openai.OpenAI) -> None:
    whole = client.completions.create(model=MODEL, prompt="tell me", max_tokens=20)
    stream = client.completions.create(
        model=MODEL,
        prompt="tell me",
        max_tokens=20,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"min_tokens": 20, "ignore_eos": True},
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].text for chunk in chunks if chunk.choices]
    assert pieces == tokens(b"tell me", 20)
    assert whole.choices[0].text == "".join(pieces)
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-2:] == [None, "length"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 20


def test_the_second_time_the_prompt_is_found_in_the_cache(client: openai.OpenAI) -> None:
    prompt = "only this test says so " * 300
    counts = []
    for _ in range(2):
        usage = client.completions.create(model=MODEL, prompt=prompt, max_tokens=1).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        counts.append((usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens))
    (cold, _), (warm, total) = counts
    assert cold == 0
    # Whole blocks of 256 tokens only, and at least one token is always computed.
    assert total - 256 <= (warm or 0) < total


def test_models_and_embeddings_answer_the_openai_client(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    first = client.embeddings.create(model=MODEL, input=["a", "b"], encoding_format="float").data
    again = client.embeddings.create(model=MODEL, input=["a"], encoding_format="float").data
    assert first[0].embedding == again[0].embedding != first[1].embedding


@pytest.mark.parametrize(
    ("sent", "status", "param", "code"),
    [
        (b"{bad", 400, None, None),
        (b"[]", 400, None, None),
        (body(model="another"), 404, "model", "model_not_found"),
        (body(max_tokens=0), 400, "max_tokens", None),
        (body(max_completion_tokens=-1), 400, "max_tokens", None),
        (body(messages=[]), 400, "messages", None),
        (body(messages="hello"), 400, "messages", None),
        (body(n=2), 400, "n", None),
        (body(messages=["x" * 4_000_000]), 400, None, "context_length_exceeded"),
    ],
)
def test_what_it_cannot_do_it_refuses_in_openais_shape(
    engine: Running, sent: bytes, status: int, param: str | None, code: str | None
) -> None:
    found, answer = ask(engine, "POST", CHAT, sent)
    error = json.loads(answer)["error"]
    assert (found, error["param"], error["code"]) == (status, param, code)
    assert error["type"] == "invalid_request_error"
    assert error["message"]


def test_a_refused_request_leaves_its_connection_usable(engine: Running) -> None:
    connection = HTTPConnection(urlsplit(engine.addresses["engine"]).netloc, timeout=20)
    connection.request("POST", CHAT, b"{bad")
    assert connection.getresponse().read()
    first = connection.sock
    connection.request("POST", CHAT, body(max_tokens=2))
    answer = connection.getresponse()
    assert (answer.status, connection.sock is first) == (200, True)
    answer.read()
    connection.close()


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/metrics", "/nothing"])
def test_it_closes_when_asked_to_also_when_no_token_was_needed(engine: Running, path: str) -> None:
    with connect(engine) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n".encode())
        assert read_to_end(stream).startswith(b"HTTP/1.1 ")


def test_pipelined_requests_are_answered_in_order(engine: Running) -> None:
    heads = [
        b"POST %b HTTP/1.1\r\nHost: e\r\nContent-Length: %d\r\n\r\n%b" % (CHAT.encode(), len(sent), sent)
        for sent in (body(max_tokens=3), body(max_tokens=2))
    ]
    last = b"GET /health HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n"
    with connect(engine) as stream:
        stream.sendall(b"".join(heads) + last)
        answers = read_to_end(stream)
    three, two = answers.find(b'"completion_tokens":3'), answers.find(b'"completion_tokens":2')
    assert 0 < three < two < answers.rfind(b"HTTP/1.1 200 OK")
    assert answers.count(b"HTTP/1.1 200 OK") == 3


def test_a_client_that_leaves_frees_its_place_and_its_memory(engine: Running) -> None:
    sent = body(stream=True, max_tokens=60_000)
    with connect(engine) as stream:
        stream.sendall(
            b"POST %b HTTP/1.1\r\nHost: e\r\nContent-Length: %d\r\n\r\n%b" % (CHAT.encode(), len(sent), sent)
        )
        assert stream.recv(64)
        assert gauges(engine)["num_requests_running"] == 1
    wait_until(lambda: gauges(engine)["num_requests_running"] == 0)
    found = gauges(engine)
    assert (found["num_requests_waiting"], found["kv_cache_usage_perc"]) == (0, 0)


def test_the_metrics_count_the_tokens(engine: Running) -> None:
    before = gauges(engine)
    assert ask(engine, "POST", CHAT, body(max_tokens=9))[0] == 200
    after = gauges(engine)
    assert after["generation_tokens_total"] - before["generation_tokens_total"] == 9
    assert after["prompt_tokens_total"] > before["prompt_tokens_total"]


def test_it_stops_on_sigterm_with_a_stream_open() -> None:
    sent = body(stream=True, max_tokens=60_000)
    with (
        running("engine", "--port", "0", "--model", MODEL, listens=("engine",)) as child,
        connect(child) as stream,
    ):
        stream.sendall(
            b"POST %b HTTP/1.1\r\nHost: e\r\nContent-Length: %d\r\n\r\n%b" % (CHAT.encode(), len(sent), sent)
        )
        assert stream.recv(64)
        assert child.stop() == 0
