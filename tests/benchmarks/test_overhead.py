"""The overhead benchmark's own parts: what it reads of wrk, and that its streams are counted rightly."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.overhead.load import parse
from benchmarks.overhead.page import table
from benchmarks.overhead.processes import cpu_time, free_port, memory
from benchmarks.overhead.stream import run_client

REPORT = """Running 4s test @ http://127.0.0.1:1
  1 threads and 256 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    13.11ms   11.30ms 123.35ms   89.20%
  Latency Distribution
     50%  {p50}
     75%   14.11ms
     99%   64.30ms
  77321 requests in 4.01s, 24.63MB read
"""


def test_reads_requests_and_quantiles() -> None:
    answers = parse(REPORT.format(p50="12.40ms"))
    assert (answers.requests, answers.p50_us, answers.p99_us) == (77_321, 12_400.0, 64_300.0)
    assert (answers.seconds, answers.errors) == (4.01, 0)
    assert parse(REPORT.format(p50="4.29s ")).p50_us == 4_290_000.0  # wrk pads seconds with a blank


def test_every_kind_of_error_counts() -> None:
    text = REPORT.format(p50="80.00us") + "  Socket errors: connect 1, read 2, write 3, timeout 4\n"
    answers = parse(text + "  Non-2xx or 3xx responses: 5\n")
    assert (answers.socket_errors, answers.wrong_status, answers.errors) == (10, 5, 15)


def test_a_report_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no requests or quantiles"):
        parse("unable to connect\n")


def test_streams_are_whole_and_their_events_counted() -> None:
    port, root = free_port(), Path(__file__).parents[2]
    command = [sys.executable, "-m", "benchmarks.overhead.event_server", "12", "1", "0", str(port)]
    opened: list[float] = []
    with subprocess.Popen(command, cwd=root) as server:
        try:
            asyncio.run(_until_it_listens(port))
            result = run_client(
                port, connections=4, streams=3, events=12, ramp_s=0.0, opened=lambda: opened.append(1)
            )
            # One event less than expected makes a stream that is not whole.
            short = run_client(port, connections=1, streams=1, events=13, ramp_s=0.0, opened=lambda: None)
            used, size = cpu_time(server.pid), memory(server.pid)
        finally:
            server.terminate()
    assert (result["whole"], result["errors"], len(opened)) == (12, 0, 1)
    assert (short["whole"], short["errors"]) == (0, 1)
    assert used.total_s > 0
    assert size.total_bytes == size.largest_bytes > 1_000_000


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


def test_a_ratio_stands_behind_its_figure_and_is_one_of_medians() -> None:
    rounds = {
        "steelyard": [{"replaced_ms": 1.0} for _ in range(3)],
    }
    assert table("replace", rounds).splitlines()[-1] == "| steelyard | 1 |"
    idle = {"streams": 4_000.0, "errors": 0.0, "memory_mb": 1.0}
    text = table(
        "idle",
        {
            "steelyard": [idle | {"kib_a_stream": value} for value in (6.0, 9.0, 90.0)],
            "haproxy": [idle | {"kib_a_stream": 4.5}],
        },
    )
    assert "| steelyard | 4,000 | 0 | 1 | 9.0 | 2.00 |" in text
