"""A model whose pools stand in order: what makes the next one try, and what never does."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.certificates import Certificates
from tests.harness.chaos_engine import (
    GOOD_BODY,
    JSON_HEAD,
    STREAM_HEAD,
    Behaviour,
    ChaosEngine,
    chaos_engines,
    content_events,
    good,
    in_turn,
    says,
    says_and_hangs,
    says_and_resets,
    stream_of,
)
from tests.harness.processes import Running, configured_gateway, wait_until
from tests.harness.raw_client import Answer, ask, post
from tests.harness.tls_proxy import TlsProxy

_TOP = """
workers = 1
[[routes]]
path_prefix = "/"
pool = "local"
[[models]]
name = "m"
pools = ["local", "site"]
larger = "large"
[fallback]
circuit_failures = {failures}
circuit_open_s = 0.5
circuit_probes = 1
short_wait_s = 1.5
"""
_POOL = """
[[pools]]
name = "{name}"
model = "{model}"
[pools.health]
interval_s = 60
[pools.outlier]
consecutive_failures = 1000
[pools.timeouts]
head_timeout_s = 0.5
first_token_timeout_s = 0.5
between_tokens_timeout_s = 0.5
[[pools.replicas]]
url = "{url}"
models = ["{known}"]
"""


Pools = tuple[Running, list[ChaosEngine]]


@contextlib.contextmanager
def three_pools(folder: Path, failures: int) -> Iterator[Pools]:
    with chaos_engines(good, good, good) as engines:
        names = (("local", "", "m"), ("site", "m-at-site", "m-at-site"), ("large", "m-large", "m-large"))
        pools = (
            _POOL.format(name=name, model=model, known=known, url=engine.url)
            for (name, model, known), engine in zip(names, engines, strict=True)
        )
        with configured_gateway(folder, _TOP.format(failures=failures) + "".join(pools)) as front:
            yield front, engines


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pools]:
    """Pools whose circuits stay closed whatever happens."""
    with three_pools(tmp_path_factory.mktemp("fallbacks"), failures=100_000) as pools:
        yield pools


@pytest.fixture
def pools(shared: Pools) -> Pools:
    """The same, well and with nothing received."""
    for engine in shared[1]:
        engine.behaviour = good
        engine.requests.clear()
    return shared


def behave(pools: Pools, *behaviours: Behaviour) -> None:
    for engine, behaviour in zip(pools[1], behaviours, strict=False):
        engine.behaviour = behaviour


def request(front: Running, **fields: Any) -> Answer:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]} | fields
    return ask(front.addresses["gateway"], post("/v1/chat/completions", json.dumps(body).encode()))


def counts(engines: list[ChaosEngine]) -> list[int]:
    return [len(engine.requests) for engine in engines]


def fails(status: bytes, body: bytes = b"no", *fields: bytes) -> Behaviour:
    more = b"".join(field + b"\r\n" for field in fields)
    return says(
        b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, more, len(body), body), stays=True
    )


PASSED_ON: dict[str, Behaviour] = {
    "closes": says(),
    "resets": says_and_resets(),
    "hangs": says_and_hangs(),
    "garbage": says(b"nonsense\r\n\r\n"),
    "500": fails(b"500 Oops"),
    "503": fails(b"503 Busy", b"no", b"Retry-After: 60"),
    "429 with a long wait": fails(b"429 Slow down", b"no", b"Retry-After: 60"),
    "gives no token": says_and_hangs(STREAM_HEAD),
    "a stream cut at once": says_and_resets(STREAM_HEAD),
}


@pytest.mark.parametrize("fault", PASSED_ON.values(), ids=PASSED_ON)
def test_what_is_the_pools_fault_goes_on_to_the_next_pool(pools: Pools, fault: Behaviour) -> None:
    behave(pools, fault, good, good)
    front, engines = pools
    answer = request(front, stream=True)
    assert (answer.status, answer.body, answer.whole) == (200, GOOD_BODY, True)
    assert (answer.value("x-steelyard-attempts"), answer.value("x-steelyard-pool")) == ("2", "site")
    assert json.loads(engines[1].requests[0].body)["model"] == "m-at-site"
    assert counts(engines)[2] == 0


REFUSALS = {
    "a content refusal": fails(b"400 Bad Request", b'{"error":{"code":"content_filter"}}'),
    "not allowed": fails(b"403 Forbidden"),
    "unprocessable": fails(b"422 Unprocessable Content"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_an_answer_and_never_tried_again(pools: Pools, refusal: Behaviour) -> None:
    behave(pools, refusal, good, good)
    front, engines = pools
    answer = request(front)
    assert 400 <= answer.status < 500
    assert answer.value("x-steelyard-attempts") == "1"
    assert counts(engines) == [1, 0, 0]


def test_a_prompt_too_long_goes_once_to_the_larger_model(pools: Pools) -> None:
    too_long = fails(
        b"400 Bad Request", b'{"error":{"message":"the maximum context length is 8","code":400}}'
    )
    behave(pools, too_long, good, good)
    front, engines = pools
    answer = request(front)
    assert (answer.body, answer.value("x-steelyard-pool")) == (GOOD_BODY, "large")
    assert json.loads(engines[2].requests[0].body)["model"] == "m-large"
    engines[2].behaviour = too_long
    assert request(front).status == 400
    assert counts(engines) == [2, 0, 2]


def test_a_short_wait_is_waited_out_as_long_as_it_asks(pools: Pools) -> None:
    busy = fails(b"429 Slow down", b"no", b"Retry-After: 1")
    behave(pools, in_turn(busy, good), good, good)
    front, engines = pools
    started_s = time.monotonic()
    answer = request(front)
    assert (answer.body, answer.value("x-steelyard-pool")) == (GOOD_BODY, "local")
    assert 1.0 <= time.monotonic() - started_s < 2.5
    assert counts(engines) == [2, 0, 0]


def test_a_failing_pool_is_left_alone_probed_and_used_again(tmp_path: Path) -> None:
    with three_pools(tmp_path, failures=3) as (front, engines):
        engines[0].behaviour = fails(b"500 Oops")
        for _ in range(20):
            assert request(front).body == GOOD_BODY
        # Three failures open the circuit; a probe or two may come while twenty requests are made.
        assert 3 <= counts(engines)[0] <= 6
        engines[0].behaviour = good
        wait_until(lambda: request(front).value("x-steelyard-pool") == "local")
        before = counts(engines)[1]
        for _ in range(5):
            assert request(front).value("x-steelyard-pool") == "local"
        assert counts(engines)[1] == before


def test_when_all_pools_fail_the_last_failure_is_the_answer(pools: Pools) -> None:
    behave(pools, says(), fails(b"500 Oops", b"oops"), good)
    front, engines = pools
    answer = request(front)
    assert (answer.status, answer.body, answer.value("x-steelyard-attempts")) == (500, b"oops", "2")
    assert counts(engines)[2] == 0


def test_a_stream_cut_in_one_pool_goes_on_in_the_next(pools: Pools) -> None:
    cut = says_and_resets(STREAM_HEAD + content_events("one ", "two "))
    behave(pools, cut, stream_of(["one ", "two ", "three"]), good)
    front, engines = pools
    answer = request(front, stream=True)
    assert answer.whole
    assert b"three" in answer.body
    assert answer.body.count(b"one ") == 1
    assert json.loads(engines[1].requests[0].body)["model"] == "m-at-site"


def test_other_models_know_nothing_of_it_and_the_list_names_it(pools: Pools) -> None:
    whole = says(b"%bContent-Length: 2\r\n\r\n{}" % JSON_HEAD, stays=True)
    behave(pools, whole, good, good)
    front, _ = pools
    answer = ask(front.addresses["gateway"], b"GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n")
    assert "m" in [each["id"] for each in json.loads(answer.body)["data"]]
    assert request(front, model="other").status == 404


HOSTED = """
[pools.engine]
ca_file = "{authority}"
api_key_file = "{key}"
"""


def test_a_hosted_service_over_tls_gets_its_own_key_and_its_own_name_of_the_model(tmp_path: Path) -> None:
    certificates = Certificates.make(tmp_path)
    certificates.issue("hosted", "localhost", "127.0.0.1")
    key = tmp_path / "hosted.secret"
    key.write_text("the-services-key")
    key.chmod(0o600)
    top = _TOP.format(failures=100).replace('larger = "large"', "")
    access = HOSTED.format(authority=certificates.authority_file, key=key) + "[[pools.rep"
    with (
        chaos_engines(says(), good) as (local, hosted),
        TlsProxy(hosted.url, tmp_path / "hosted.pem", tmp_path / "hosted.key") as tls,
    ):
        near = _POOL.format(name="local", model="", known="m", url=local.url)
        url = f"https://localhost:{tls.port}"
        far = _POOL.format(name="site", model="m-hosted", known="m-hosted", url=url)
        with configured_gateway(tmp_path, top + near + far.replace("[[pools.rep", access)) as front:
            mine = "Authorization: Bearer client"
            data = post("/v1/chat/completions", b'{"model":"m","messages":[]}', mine)
            answer = ask(front.addresses["gateway"], data)
        assert (answer.body, answer.value("x-steelyard-pool")) == (GOOD_BODY, "site")
        (there,) = hosted.requests
        assert there.values("authorization") == ["Bearer the-services-key"]
        assert json.loads(there.body)["model"] == "m-hosted"
