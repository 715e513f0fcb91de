"""What clients do to a gateway, and what a pool does when engines limp: rows 20 to 30 and 38 of the table."""

import contextlib
import itertools
import json
import re
import resource
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.end_to_end.fault_fleet import FaultFleet, pool
from tests.harness.chaos_engine import (
    GOOD_BODY,
    JSON_HEAD,
    STREAM_HEAD,
    ChaosEngine,
    Received,
    chaos_engines,
    content_events,
    good,
    says,
    says_and_hangs,
)
from tests.harness.processes import Running, configured_gateway, metrics, wait_until
from tests.harness.raw_client import ask, connected, post, read_answer, stream_post

CHAT = "/v1/chat/completions"
DATED = (
    "admin_door.py",
    "console_source.py",
    "dates.py",
    "keys.py",
    "pool_tries.py",
    "told_picks.py",
    "tracing.py",
)
SRC = Path(__file__).parents[2] / "src"


@contextlib.contextmanager
def small_gateway(
    folder: Path, *urls: str, top: str = "", outlier: str = "", policy: str = "round-robin"
) -> Iterator[Running]:
    """A gateway of one worker and one pool at /p/."""
    text = pool("p", *urls).replace('"round-robin"', f'"{policy}"')
    if outlier:
        text = text.replace("consecutive_failures = 1000", outlier)
    with configured_gateway(folder, "workers = 1\n" + top + text) as front:
        yield front


def worker_of(front: Running) -> psutil.Process:
    with urllib.request.urlopen(front.addresses["admin"] + "/workers", timeout=10) as answer:
        (worker,) = json.loads(answer.read())
    return psutil.Process(worker["pid"])


# --- slow, silent and greedy clients -------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        b"POST /one/x HTTP/1.1\r\nHost: h\r\nX-Slo",
        b"GET",
        b"POST /one/x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
        b"POST /one/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_a_request_that_does_not_arrive_is_a_408_and_others_are_served(
    fleet: FaultFleet, part: bytes
) -> None:
    with connected(fleet.url) as slow:
        slow.sendall(part)
        assert fleet.ask_one().status == 200
        answer = read_answer(slow)
        assert (answer.status, answer.whole) == (408, True)
        assert slow.recv(1) == b""
    assert len(fleet.one.requests) == 1


def test_a_head_that_drips_is_a_408_however_steadily(fleet: FaultFleet) -> None:
    with connected(fleet.url) as slow:
        started_s = time.monotonic()
        answered = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                for byte in b"GET /one/x HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 100:
                    slow.sendall(bytes([byte]))
                    if answered.wait(0.1):
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert read_answer(slow).status == 408
            assert time.monotonic() - started_s < 2.5
        finally:
            answered.set()
            thread.join()


def test_a_body_over_the_limit_is_refused_before_any_engine_sees_it(fleet: FaultFleet) -> None:
    for data in (
        b"POST /one/x HTTP/1.1\r\nHost: h\r\nContent-Length: 200001\r\n\r\n",
        b"POST /one/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n30d41\r\n" + b"x" * 200_001,
        b"POST /one/x HTTP/1.1\r\nHost: h\r\nContent-Length: 200001\r\nExpect: 100-continue\r\n\r\n",
    ):
        answer = ask(fleet.url, data)
        assert (answer.status, answer.interim, answer.whole) == (413, [], True)
    assert fleet.one.requests == []


def test_a_client_that_leaves_in_a_stream_frees_its_engine_in_a_second(fleet: FaultFleet) -> None:
    left = threading.Event()

    def talk(client: socket.socket, request: Received) -> bool:
        client.sendall(STREAM_HEAD)
        try:
            while True:
                client.sendall(content_events("word "))
                time.sleep(0.02)
        except OSError:
            left.set()
        return False

    fleet.one.behaviour = talk
    with connected(fleet.url) as client:
        client.sendall(stream_post("/one" + CHAT))
        assert b"word" in client.recv(4_096) + client.recv(4_096)
    assert left.wait(1.5)


def test_a_client_that_leaves_before_its_answer_frees_its_engine(fleet: FaultFleet) -> None:
    closed = threading.Event()

    def hang(client: socket.socket, request: Received) -> bool:
        client.settimeout(5)
        with contextlib.suppress(OSError):
            closed.set() if not client.recv(1) else None
        return False

    fleet.one.behaviour = hang
    with connected(fleet.url) as client:
        client.sendall(post("/one" + CHAT))
        wait_until(lambda: len(fleet.one.requests) == 1)
    assert closed.wait(1.5)


def test_a_client_that_reads_slowly_costs_its_engine_time_and_no_memory_here(fleet: FaultFleet) -> None:
    total, sent = 64 << 20, [0]

    def flood(client: socket.socket, request: Received) -> bool:
        client.sendall(b"%bContent-Length: %d\r\n\r\n" % (JSON_HEAD, total))
        with contextlib.suppress(OSError):
            while sent[0] < total:
                sent[0] += client.send(b"x" * 65_536)
        return False

    fleet.one.behaviour = flood
    worker = worker_of(fleet.front)
    before = worker.memory_info().rss
    with connected(fleet.url) as client:
        client.sendall(post("/one" + CHAT))
        assert client.recv(1_000)
        seen = -1
        while seen != sent[0]:  # until the engine is held back
            seen = sent[0]
            time.sleep(0.4)
        assert sent[0] < total // 2
        assert worker.memory_info().rss - before < 16 << 20
        assert fleet.front.process.poll() is None
        other = ask(fleet.url, post("/two" + CHAT))
        assert other.status == 200


def test_too_many_connections_are_refused_and_the_admin_port_still_answers(tmp_path: Path) -> None:
    with (
        chaos_engines(good) as (engine,),
        small_gateway(tmp_path, engine.url, top="[limits]\nmax_connections = 4\n") as front,
        contextlib.ExitStack() as held,
    ):
        url = front.addresses["gateway"]
        for _ in range(4):
            client = held.enter_context(connected(url))
            client.sendall(post("/p" + CHAT))
            assert read_answer(client).status == 200
        with connected(url) as refused:
            answer = read_answer(refused)
            assert (answer.status, answer.whole) == (503, True)
            assert answer.value("retry-after") == "1"
        assert metrics(front)["steelyard_connections_refused_total"] >= 1
        held.close()
        wait_until(lambda: ask(url, post("/p" + CHAT)).status == 200)


def test_used_up_file_descriptors_stop_nothing_for_good(tmp_path: Path) -> None:
    with chaos_engines(good) as (engine,), small_gateway(tmp_path, engine.url) as front:
        url, worker = front.addresses["gateway"], worker_of(front)
        assert ask(url, post("/p" + CHAT)).status == 200
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (worker.num_fds() + 8, 4_096))
        with contextlib.ExitStack() as held:
            for _ in range(60):
                held.enter_context(connected(url))
            used_s = sum(worker.cpu_times()[:2])
            time.sleep(1)
            # A loop that spins on accept would take the whole second.
            assert sum(worker.cpu_times()[:2]) - used_s < 0.5
        wait_until(lambda: ask(url, post("/p" + CHAT)).status == 200)


def test_a_full_disk_costs_log_lines_and_nothing_else(tmp_path: Path) -> None:
    with (
        chaos_engines(good) as (engine,),
        small_gateway(tmp_path, engine.url, top='access_log = "/dev/full"\n') as front,
    ):
        for _ in range(3):
            assert ask(front.addresses["gateway"], post("/p" + CHAT)).status == 200
        wait_until(lambda: metrics(front)["steelyard_access_log_dropped_total"] >= 3)
        assert ask(front.addresses["gateway"], post("/p" + CHAT)).status == 200


# --- pools of limping engines --------------------------------------------------------------------


def test_all_engines_failing_their_probes_are_still_tried(tmp_path: Path) -> None:
    with (
        chaos_engines(good, good) as (first, second),
        small_gateway(tmp_path, first.url, second.url) as front,
    ):
        for engine in (first, second):
            engine.die()
        assert ask(front.addresses["gateway"], post("/p" + CHAT)).status in (502, 503)
        for engine in (first, second):
            engine.revive()
        assert ask(front.addresses["gateway"], post("/p" + CHAT)).status == 200


def test_a_flapping_engine_is_left_alone_for_longer_and_longer(tmp_path: Path) -> None:
    options = "consecutive_failures = 2\nbase_ejection_s = 0.4"
    with (
        chaos_engines(says(), good) as (bad, fine),
        small_gateway(tmp_path, bad.url, fine.url, outlier=options) as front,
    ):
        tried_s: list[float] = []
        started_s = time.monotonic()
        while time.monotonic() - started_s < 4:
            before = len(bad.requests)
            assert ask(front.addresses["gateway"], post("/p" + CHAT)).body == GOOD_BODY
            if len(bad.requests) > before:
                tried_s.append(time.monotonic())
        gaps_s = sorted(later - earlier for earlier, later in itertools.pairwise(tried_s))
        # 0.4, 0.8 and 1.6 s of ejection: without them it would be asked some thousand times.
        assert 2 <= len(tried_s) < 30
        assert gaps_s[-1] > 1.2


def test_load_leaves_a_slow_engine_in_seconds(tmp_path: Path) -> None:
    def slow(client: socket.socket, request: Received) -> bool:
        time.sleep(0.2)
        return good(client, request)

    with (
        chaos_engines(slow, good) as (limping, fine),
        small_gateway(tmp_path, limping.url, fine.url, policy="least-requests") as front,
    ):

        def ask_on() -> None:
            for _ in range(40):
                assert ask(front.addresses["gateway"], post("/p" + CHAT)).status == 200

        clients = [threading.Thread(target=ask_on) for _ in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert len(fine.requests) > 3 * len(limping.requests)


def test_a_retry_storm_is_capped_at_a_share_of_the_load(tmp_path: Path) -> None:
    busy = says(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", stays=True)
    with (
        chaos_engines(busy, busy, busy) as engines,
        small_gateway(tmp_path, *(each.url for each in engines)) as front,
    ):
        started_s, asked = time.monotonic(), 400
        with connected(front.addresses["gateway"]) as client:
            for _ in range(asked):
                client.sendall(post("/p" + CHAT))
                assert read_answer(client).status == 503
        took_s = time.monotonic() - started_s
        tries = sum(len(each.requests) for each in engines)
        # A fifth of the requests, three a second, and what was saved up before.
        assert tries <= asked * 1.2 + 3 * took_s + 31


def test_limits_are_kept_by_the_monotonic_clock() -> None:
    wall_clock = re.compile(r"\btime\.time\(|\bdatetime\.(now|utcnow|today)\(|\bfrom time import .*\btime\b")
    # The wall clock may date what is shown, logged or traced; keys and sessions expire by it.
    for folder in ("gateway", "routing", "policies", "wire", "cluster", "runtime"):
        for file in (SRC / "steelyard" / folder).rglob("*.py"):
            if "log" not in file.name and file.name not in DATED:
                assert not wall_clock.search(file.read_text(encoding="utf-8")), file


def test_a_pool_whose_engines_hang_does_not_hold_up_another(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says_and_hangs()
    with contextlib.ExitStack() as held:
        for _ in range(50):
            held.enter_context(connected(fleet.url)).sendall(post("/one" + CHAT))
        wait_until(lambda: len(fleet.one.requests) >= 50)
        started_s = time.monotonic()
        assert ask(fleet.url, post("/two" + CHAT)).status == 200
        assert time.monotonic() - started_s < 0.5


def test_an_engine_killed_with_streams_open_cuts_only_its_own(fleet: FaultFleet) -> None:
    fleet.one.behaviour = says_and_hangs(STREAM_HEAD + content_events("one "))
    with connected(fleet.url) as client:
        client.sendall(stream_post("/one" + CHAT))
        wait_until(lambda: len(fleet.one.requests) == 1)
        fleet.one.die()
        answer = read_answer(client)
        assert (answer.status, answer.whole) in ((200, False), (502, True))
        assert ask(fleet.url, post("/two" + CHAT)).status == 200
    fleet.one.revive()


def test_sigterm_ends_what_waits_for_a_hanging_engine_at_the_drain_limit(tmp_path: Path) -> None:
    engine: ChaosEngine
    with (
        chaos_engines(says_and_hangs()) as (engine,),
        small_gateway(tmp_path, engine.url, top="drain_timeout_s = 0.5\n") as front,
        connected(front.addresses["gateway"]) as client,
    ):
        client.sendall(post("/p" + CHAT))
        wait_until(lambda: len(engine.requests) == 1)
        assert front.stop(signal.SIGTERM) == 0
