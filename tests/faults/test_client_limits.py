"""A client that says how long it waits; a proxy in front that says which host was asked for."""

import time
from pathlib import Path

from tests.end_to_end.fault_fleet import FaultFleet, pool
from tests.harness.chaos_engine import STREAM_HEAD, chaos_engines, content_events, good, says_and_hangs
from tests.harness.processes import configured_gateway, metrics
from tests.harness.raw_client import ask, post

CHAT = "/v1/chat/completions"
STREAM = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}'


def test_a_clients_own_limit_ends_its_request_and_blames_nobody(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says_and_hangs()
    started_s = time.monotonic()
    answer = fleet.ask_one(post("/one" + CHAT, b"{}", "X-Request-Timeout-Ms: 200"))
    assert (answer.status, answer.whole) == (504, True)
    assert b"the client's own limit of 0.2 s is over" in answer.body
    assert time.monotonic() - started_s < 0.9  # before the gateway's own
    assert len(fleet.one.requests) == 1
    seen = fleet.first_of_two(says_and_hangs())
    assert ask(fleet.url, post("/two" + CHAT, b"{}", "X-Request-Timeout-Ms: 200")).status == 504
    assert len(seen) == 1  # nobody waits for a second try


def test_a_clients_own_limit_ends_a_stream_visibly(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says_and_hangs(STREAM_HEAD + content_events("one "))
    answer = fleet.ask_one(post("/one" + CHAT, STREAM, "X-Request-Timeout-Ms: 300"))
    assert (answer.status, answer.whole) == (200, False)
    assert b"the client's own limit" in answer.body
    assert b"[DONE]" not in answer.body


def test_a_longer_limit_than_the_gateways_changes_nothing(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says_and_hangs()
    answer = fleet.ask_one(post("/one" + CHAT, b"{}", "X-Request-Timeout-Ms: 60000"))
    assert answer.status == 504
    assert b"no response head within 1 s" in answer.body


def test_a_host_that_a_proxy_names_is_told_only_where_the_proxy_is_believed(tmp_path: Path) -> None:
    said = ("X-Forwarded-Host: shop.example", "X-Forwarded-Proto: https")
    for trusted, host, scheme in (("", "h", "http"), ("127.0.0.1", "shop.example", "https")):
        with chaos_engines(good) as (engine,):
            top = f'workers = 1\ntrusted_proxies = ["{trusted}"]\n' if trusted else "workers = 1\n"
            with configured_gateway(tmp_path, top + pool("p", engine.url)) as front:
                assert ask(front.addresses["gateway"], post("/p" + CHAT, b"{}", *said)).status == 200
                assert metrics(front)
            (request,) = engine.requests
            assert request.values("x-forwarded-host") == [host]
            assert request.values("x-forwarded-proto") == [scheme]
