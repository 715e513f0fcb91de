"""What looking costs: `python -m benchmarks.console_effect --seconds 200`.

A gateway of 200 replicas with one worker, a jobs service of 10,000 jobs, requests at a fixed rate. Short
slices follow each other in pairs: one with nobody looking, one with pages fetched and their streams open
(as a browser holds them; without `--page`, four pages at once), in an order that turns round from pair to
pair. Of each slice: CPU time of the worker, which is the data plane, a request; and of the supervisor, which
renders pages and serves them, a second. CPU time is what Linux accounts to all threads of a process
(schedstat: user and system, in nanoseconds), never the clock on the wall. Reported: the median of the pairs'
ratios, with a bootstrap interval of 95 %; beside it the same for slices that nobody looked at in both, which
says what the method cannot tell from nothing.
"""

import argparse
import asyncio
import contextlib
import random
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from tests.harness.load import Load
from tests.harness.processes import Running

from benchmarks.console_fleet import JOBS, REPLICAS, fleet
from benchmarks.machine import describe

RATE_PER_S, SETTLE_S, SLICE_S, RESAMPLES = 400.0, 0.25, 0.75, 4000
PAGES = ("overview", "replicas", "requests", "jobs")  # all at once: what holds for them holds for each


@dataclass(frozen=True, slots=True)
class Slice:
    """CPU time, in microseconds a request of the worker, in a share of a core of the supervisor."""

    worker_us: float
    supervisor_share: float


@contextlib.contextmanager
def looking(admin: str, pages: Sequence[str]) -> Iterator[None]:
    """A page fetched, then a reader of its stream, for each."""
    stopped = threading.Event()

    async def read(name: str) -> None:
        parts = urlsplit(admin)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        line = f"GET /console/events?page={name} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
        writer.write(line.encode())
        while not stopped.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1 << 20), 0.05)
        writer.close()

    async def run() -> None:
        await asyncio.gather(*map(read, pages))

    for name in pages:
        urllib.request.urlopen(f"{admin}/console/{name}", timeout=20).read()
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def spent_ns(processes: Sequence[psutil.Process]) -> int:
    """CPU time of all their threads so far, user and system."""
    tasks = [path for each in processes for path in Path(f"/proc/{each.pid}/task").iterdir()]
    return sum(int((path / "schedstat").read_text().split()[0]) for path in tasks)


def measure(front: Running, load: Load, pages: Sequence[str]) -> Slice:
    """One slice, behind the settling that opening and closing pages wants."""
    supervisor = psutil.Process(front.process.pid)
    workers = supervisor.children()
    with looking(front.addresses["admin"], pages):
        time.sleep(SETTLE_S)
        before = spent_ns(workers), spent_ns([supervisor]), load.outcome.done, time.monotonic()
        time.sleep(SLICE_S)
        after = spent_ns(workers), spent_ns([supervisor]), load.outcome.done, time.monotonic()
    worker, own, done, span_s = (late - early for early, late in zip(before, after, strict=True))
    return Slice(worker / 1e3 / done, own / 1e9 / span_s)


def median_and_interval(ratios: Sequence[float], rng: random.Random) -> tuple[float, float, float]:
    """(median, 2.5 %, 97.5 %) by the percentile bootstrap."""
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    low, high = medians[round(0.025 * RESAMPLES)], medians[round(0.975 * RESAMPLES) - 1]
    return statistics.median(ratios), low, high


def written(found: tuple[float, float, float]) -> str:
    """A ratio as what it adds, in percent."""
    middle, low, high = (100 * (each - 1) for each in found)
    return f"{middle:+.1f} % ({low:+.1f} to {high:+.1f})"


def rows(quiet: Sequence[Slice], watched: Sequence[Slice], pages: str) -> list[str]:
    """A line for looking, and one for nothing beside nothing."""
    rng = random.Random(1)
    looked = median_and_interval(
        [late.worker_us / early.worker_us for early, late in zip(quiet, watched, strict=True)], rng
    )
    # Where the order turns round, a quiet slice follows a quiet one.
    still = median_and_interval(
        [late.worker_us / early.worker_us for early, late in zip(quiet[1::2], quiet[2::2], strict=False)], rng
    )
    worker_us = [statistics.median(each.worker_us for each in slices) for slices in (quiet, watched)]
    own = [statistics.median(each.supervisor_share for each in slices) for slices in (quiet, watched)]
    return [
        f"| nobody | {len(quiet)} | {worker_us[0]:.1f} | {written(still)} | {100 * own[0]:.1f} |",
        f"| {pages} | {len(watched)} | {worker_us[1]:.1f} | {written(looked)} | {100 * own[1]:.1f} |",
    ]


def run(seconds: float, pages: Sequence[str]) -> str:
    """A Markdown page."""
    quiet: list[Slice] = []
    watched: list[Slice] = []
    with tempfile.TemporaryDirectory() as folder, fleet(Path(folder), RATE_PER_S) as (front, _, load):
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s or len(quiet) < 4:
            for looks in (True, False) if len(quiet) % 2 else (False, True):
                (watched if looks else quiet).append(measure(front, load, pages if looks else ()))
        assert not load.outcome.failures, load.outcome.failures[:3]
    title = f"# What looking costs: {REPLICAS} replicas, {JOBS:,} jobs, {RATE_PER_S:g} requests/s"
    head = (
        "| who looks | slices | worker's CPU, µs a request | beside nobody: median, 95 % interval | "
        "supervisor's CPU, % of a core |\n|---|---|---|---|---|"
    )
    return "\n".join((title, "", describe(), "", head, *rows(quiet, watched, ", ".join(pages))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=200.0)
    parser.add_argument("--page", dest="pages", action="append", choices=PAGES)
    arguments = parser.parse_args()
    print(run(arguments.seconds, arguments.pages or PAGES))
