"""Bodies that come slowly, and answers that end too soon: who is given time, and who is to blame."""

import time
from pathlib import Path

from tests.end_to_end.fault_fleet import FaultFleet, pool
from tests.harness.chaos_engine import JSON_HEAD, chaos_engines, good, says
from tests.harness.processes import configured_gateway
from tests.harness.raw_client import ask, connected, post, read_answer

CHAT = "/v1/chat/completions"


def test_a_body_that_comes_on_has_more_time_than_one_that_stalls(fleet: FaultFleet) -> None:
    body = b'{"a":"' + b"x" * 1992 + b'"}'
    with connected(fleet.url) as slow:
        started_s = time.monotonic()
        slow.sendall(b"POST /one/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 200):  # 1,000 bytes a second, for thrice the limit on a stall
            slow.sendall(body[at : at + 200])
            time.sleep(0.2)
        assert read_answer(slow).status == 200
        assert time.monotonic() - started_s > 3 * 0.6
    assert fleet.one.requests[-1].body == body


def test_a_body_that_drips_is_a_408_however_steadily(fleet: FaultFleet) -> None:
    with connected(fleet.url) as slow:
        started_s = time.monotonic()
        slow.sendall(b"POST /one/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
        slow.settimeout(0.1)
        said = b""
        while not said and time.monotonic() - started_s < 5:
            slow.sendall(b"x")
            try:
                said = slow.recv(65_536)
            except TimeoutError:
                continue
        assert said.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - started_s < 2


def test_a_head_on_a_kept_connection_is_given_a_heads_time(fleet: FaultFleet) -> None:
    with connected(fleet.url) as client:
        client.sendall(post("/one" + CHAT))
        assert read_answer(client).status == 200
        started_s = time.monotonic()
        client.sendall(b"POST /one/x HT")
        assert read_answer(client).status == 408
        assert time.monotonic() - started_s < 2


def test_an_answer_that_is_cut_counts_against_its_engine(tmp_path: Path) -> None:
    cut = says(JSON_HEAD + b"Content-Length: 100\r\n\r\n", b'{"half":')
    with chaos_engines(cut, good) as (bad, fine):
        text = pool("p", bad.url, fine.url).replace(
            "consecutive_failures = 1000", "consecutive_failures = 2\nbase_ejection_s = 60"
        )
        with configured_gateway(tmp_path, "workers = 1\n" + text) as front:
            for _ in range(20):
                ask(front.addresses["gateway"], post("/p" + CHAT))
            assert len(bad.requests) == 2
            assert len(fine.requests) >= 18
