"""`steelyard top`: what it shows of a gateway, and what it says when nobody answers."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from tests.harness.processes import Running, engines, gateway

from steelyard.cli.top_gateway import Reading, quantile, view

COMMAND = [sys.executable, "-m", "steelyard"]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=ENVIRONMENT
    )  # fmt: skip


def chat(front: Running) -> None:
    body = json.dumps({"model": "emulated", "prompt": "hi", "max_tokens": 2, "stream": True}).encode()
    request = urllib.request.Request(f"{front.addresses['gateway']}/v1/completions", data=body)
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert b"[DONE]" in answer.read()


def test_shows_the_gateway_when_no_jobs_service_runs(tmp_path: Path) -> None:
    with engines(2) as fleet:
        urls = [each.addresses["engine"] for each in fleet]
        with gateway(*urls, options=("--workers", "1")) as front:
            chat(front)
            where = ("--admin", front.addresses["admin"], "--state", str(tmp_path))
            page = run("top", "--once", *where)
            answer = json.loads(run("top", "--json", *where).stdout)
    assert page.returncode == 0, page.stderr
    assert "gateway healthy" in page.stdout
    assert "TTFT p99" in page.stdout
    assert urls[0].partition("://")[2] in page.stdout
    assert "jobs: no jobs service answers" in " ".join(page.stdout.split())
    assert answer["jobs"] is None
    assert [each["pool"] for each in answer["gateway"]["pools"]] == ["default"]
    assert {each["requests_per_s"] for each in answer["gateway"]["replicas"]} == {0.0}


def test_one_sentence_when_nothing_runs(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = run("top", "--admin", f"127.0.0.1:{unused.getsockname()[1]}", "--state", str(tmp_path))
    assert done.returncode == 2
    assert "cannot ask the gateway" in done.stderr
    assert "no jobs service answers" in done.stderr
    assert done.stderr.count("\n") == 1


def test_rates_and_quantiles_are_those_of_the_time_between() -> None:
    bucket = 'steelyard_time_to_first_token_seconds_bucket{pool="p",le="%s"}'
    counts = {
        'steelyard_requests_total{pool="p",status="2xx"}': 10.0,
        'steelyard_requests_total{pool="p",status="5xx"}': 1.0,
        'steelyard_replica_requests_total{replica="a",outcome="ok"}': 10.0,
        bucket % "0.1": 10.0,
        bucket % "0.2": 10.0,
        bucket % "+Inf": 10.0,
    }
    later = {name: value + 4 for name, value in counts.items()} | {bucket % "0.1": 10.0}
    status = {"replicas": [{"id": "a", "pool": "p"}]}
    page = view(Reading(1.0, status, counts), Reading(3.0, status, later))
    (pool,) = page["pools"]
    assert (pool["requests_per_s"], pool["server_errors_per_s"]) == (4.0, 2.0)
    assert pool["ttft_p50_s"] == pytest.approx(0.15)  # all four between 0.1 and 0.2
    assert pool["duration_p50_s"] is None
    assert page["replicas"][0]["requests_per_s"] == 2.0


def test_a_quantile_above_all_bounds_is_the_last_bound() -> None:
    assert quantile([(1.0, 0.0), (2.0, 0.0), (float("inf"), 3.0)], 0.5) == 2.0
    assert quantile([], 0.5) is None
    assert quantile([(1.0, 0.0), (float("inf"), 0.0)], 0.5) is None


def on_a_terminal(*arguments: str, until: bytes, **environment: str) -> bytes:
    """What a verb writes to a terminal, until it wrote something; then Ctrl-C."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a suite in the background is started with it ignored
        os.execvpe(COMMAND[0], [*COMMAND, *arguments], ENVIRONMENT | environment)
    written, deadline_s, ended = b"", time.monotonic() + 30, False
    try:
        while until not in written and time.monotonic() < deadline_s:
            if select.select([terminal], [], [], 0.5)[0]:
                written += os.read(terminal, 65_536)
        while time.monotonic() < deadline_s + 30:
            os.write(terminal, b"\x03")  # again when it was not heard, as somebody at a keyboard would
            while select.select([terminal], [], [], 2.0)[0]:
                written += os.read(terminal, 65_536)
    except OSError:
        ended = True  # the terminal's other end is closed
    finally:
        if not ended:
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(terminal)
    assert code == 130, written[-500:]
    return written


@pytest.mark.parametrize("colours", [True, False])
def test_watches_on_a_terminal_and_honours_no_color(tmp_path: Path, colours: bool) -> None:
    with engines(1) as fleet, gateway(fleet[0].addresses["engine"], options=("--workers", "1")) as front:
        where = ("--admin", front.addresses["admin"], "--state", str(tmp_path))
        told = {"TERM": "xterm-256color", "COLUMNS": "140", "LINES": "40", "PYTHONWARNINGS": "ignore"}
        if not colours:
            told["NO_COLOR"] = "1"
        written = on_a_terminal("top", *where, until=b"TTFT p99", **told)
    codes = [code for found in re.findall(rb"\x1b\[([0-9;]+)m", written) for code in found.split(b";")]
    coloured = [code for code in codes if 30 <= int(code) <= 49 or 90 <= int(code) <= 107]
    assert bool(coloured) is colours
    assert b"gateway " in written
