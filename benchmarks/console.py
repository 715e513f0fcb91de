"""What the console weighs, how soon it is seen, how it moves, what it costs: `python -m benchmarks.console`.

A gateway of 200 replicas (one small server in many names), a jobs service of 10,000 jobs on 20 nodes,
requests at a fixed rate. In a headless Chromium, for each page: bytes of a first visit (transferred, style,
script, charts and first events included); first contentful paint, median of `LOADS` loads in a browser that
is up and has nothing in its cache; and while the page moves for `WATCHED_S` seconds, the share of frames
that came over 50 ms after the one before, the longest task of the script, and the count of elements. Then,
without a browser, CPU of workers a request and of the supervisor a second, with nobody looking and with one
stream of a page, or of four. Times are of the whole machine: read them beside the load that the page names.
"""

import asyncio
import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from tests.harness.browser import CHROMIUM
from tests.harness.jobs import RunningJobs, jobs_service
from tests.harness.load import Load
from tests.harness.processes import Running, configured_gateway

from benchmarks.machine import describe
from steelyard.console.pages.registry import PAGES
from steelyard.jobs.client import JobsClient
from steelyard.jobs.specification import from_table

REPLICAS, JOBS, NODES, CALLERS = 200, 10_000, 20, 16
LOADS, WATCHED_S, MEASURED_S, RATE_PER_S = 7, 6.0, 8.0, 100.0
BODY = b'{"id":"x","object":"chat.completion","model":"m","choices":[],"usage":{"completion_tokens":1}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
WATCH = """async (seconds) => {
  const gaps = [], tasks = [];
  new PerformanceObserver((list) => list.getEntries().forEach((each) => tasks.push(each.duration)))
    .observe({ type: "longtask" });
  let last = performance.now();
  const until = last + seconds * 1000;
  await new Promise((done) => {
    const frame = (now) => {
      gaps.push(now - last);
      last = now;
      now < until ? requestAnimationFrame(frame) : done();
    };
    requestAnimationFrame(frame);
  });
  return { late: gaps.filter((gap) => gap > 50).length / gaps.length, worst: Math.max(...gaps),
           task: Math.max(0, ...tasks), elements: document.getElementsByTagName("*").length };
}"""
WEIGHT = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .reduce((sum, each) => sum + each.transferSize, 0)"""
PAINT = """() => performance.getEntriesByName("first-contentful-paint")[0].startTime"""


@contextlib.contextmanager
def many_engines() -> Iterator[int]:
    """A server that answers anything at once; its port."""
    ready, port, loop = threading.Event(), [0], asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
                if length:
                    await reader.readexactly(int(length))
                writer.write(ANSWER)
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port[0] = server.sockets[0].getsockname()[1]
        ready.set()
        await asyncio.Event().wait()

    thread = threading.Thread(target=lambda: _run_until_stopped(loop, run()), daemon=True)
    thread.start()
    ready.wait()
    yield port[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def _run_until_stopped(loop: asyncio.AbstractEventLoop, main: Any) -> None:
    task = loop.create_task(main)
    with contextlib.suppress(RuntimeError):
        loop.run_until_complete(task)


def submit_many(folder: Path) -> None:
    """All jobs; few can run, the others wait."""
    specification = from_table(
        {"command": ["sleep", "3600"], "grace": 0, "resources": {"cpu_cores": 8}}, folder
    )

    def submit(caller: int) -> None:
        client = JobsClient(folder)
        for number in range(caller, JOBS, CALLERS):
            client.submit(specification, f"key{number}")

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(submit, range(CALLERS)))


@contextlib.contextmanager
def fleet(folder: Path, enabled: bool = True) -> Iterator[tuple[Running, RunningJobs]]:
    """Everything, with requests going through it."""
    nodes = [f"node-{number:02}:cpu_cores=8,memory=4GiB,sample_interval=5" for number in range(NODES)]
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(many_engines())
        jobs = stack.enter_context(jobs_service(folder / "state", *nodes))
        submit_many(jobs.folder)
        front = stack.enter_context(configured_gateway(folder, _configuration(port, jobs.folder, enabled)))
        stack.enter_context(Load(front.addresses["gateway"], connections=10, rate_per_s=RATE_PER_S))
        time.sleep(8)  # two rounds of probes, and a chart with something in it
        yield front, jobs


def _configuration(port: int, state: Path, enabled: bool) -> str:
    replicas = "".join(
        f'[[pools.replicas]]\nurl = "http://127.0.0.1:{port}/{number}"\nid = "gpu-{number:03}"\n'
        'models = ["emulated"]\n'
        for number in range(REPLICAS)
    )
    switch = f'[console]\nenabled = {str(enabled).lower()}\nstate = "{state}"\n'
    return f'workers = 1\n{switch}[[pools]]\nshadow = "least-requests"\n{replicas}'


def seen(admin: str) -> list[str]:
    """A line a page: in the browser."""
    from playwright.sync_api import sync_playwright

    lines = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in PAGES:
            paints, weight, moved = [], 0, {}
            for load in range(LOADS):
                context = browser.new_context(viewport={"width": 1280, "height": 900})
                page = context.new_page()
                page.goto(f"{admin}/console/{name}" + ("?id=1" if name == "job" else ""))
                page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
                paints.append(float(page.evaluate(PAINT)))
                if load == LOADS - 1:
                    moved = page.evaluate(WATCH, WATCHED_S)
                    weight = int(page.evaluate(WEIGHT))
                context.close()
            paint = statistics.median(paints)
            lines.append(
                f"| {name} | {weight / 1000:.0f} | {paint:.0f} ({min(paints):.0f}–{max(paints):.0f}) | "
                f"{100 * moved['late']:.1f} | {moved['worst']:.0f} | {moved['task']:.0f} | "
                f"{moved['elements']:,} |"
            )
        browser.close()
    return lines


@contextlib.contextmanager
def looking(admin: str, pages: list[str]) -> Iterator[None]:
    """A reader of a stream for each page."""
    stopped = threading.Event()

    async def read(name: str) -> None:
        parts = urlsplit(admin)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        query = f"page={name}" + ("&id=1" if name == "job" else "")
        writer.write(f"GET /console/events?{query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        while not stopped.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1 << 20), 0.3)
        writer.close()

    async def run() -> None:
        await asyncio.gather(*map(read, pages))

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def cost(front: Running) -> tuple[float, float]:
    """(CPU ms of workers a request, CPU share of the supervisor) over a while."""
    supervisor = psutil.Process(front.process.pid)
    workers = supervisor.children()

    def spent() -> tuple[float, float]:
        times = [sum(each.cpu_times()[:2]) for each in (supervisor, *workers)]
        return times[0], sum(times[1:])

    before, began_s = spent(), time.monotonic()
    time.sleep(MEASURED_S)
    after, span_s = spent(), time.monotonic() - began_s
    return 1000 * (after[1] - before[1]) / (RATE_PER_S * span_s), (after[0] - before[0]) / span_s


def costs(front: Running) -> list[str]:
    """A line a situation, each the median of three, taken in turns."""
    admin = front.addresses["admin"]
    situations: dict[str, list[str]] = {"nobody looks": []}
    situations |= {name: [name] for name in ("overview", "replicas", "requests", "jobs")}
    situations["four pages at once"] = [name for pages in situations.values() for name in pages]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in situations}
    for _ in range(3):
        for name, pages in situations.items():
            with looking(admin, pages):
                found[name].append(cost(front))
    return [
        f"| {name} | {statistics.median(each[0] for each in rounds):.3f} | "
        f"{100 * statistics.median(each[1] for each in rounds):.1f} |"
        for name, rounds in found.items()
    ]


def run() -> str:
    """A Markdown page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with fleet(folder) as (front, _):
            pages = seen(front.addresses["admin"]) if CHROMIUM else ["no chromium"]
            spent = costs(front)
    head = (
        "| page | kB, first visit | first paint, ms: median (range) | frames over 50 ms, % | "
        "worst frame, ms | longest task, ms | elements |\n|---|---|---|---|---|---|---|"
    )
    columns = "| who looks | workers' CPU, ms a request | supervisor's CPU, % of a core |\n|---|---|---|"
    return "\n".join(
        (
            f"# The console over {REPLICAS} replicas and {JOBS:,} jobs\n\n{describe()}\n",
            head,
            *pages,
            "",
            columns,
            *spent,
        )
    )


if __name__ == "__main__":
    print(run())
