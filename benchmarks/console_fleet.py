"""A gateway of 200 replicas (one small server in many names), a jobs service of 10,000 jobs, and requests."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.harness.jobs import RunningJobs, jobs_service
from tests.harness.load import Load
from tests.harness.processes import Running, configured_gateway

from steelyard.jobs.client import JobsClient
from steelyard.jobs.specification import from_table

REPLICAS, JOBS, NODES, CALLERS = 200, 10_000, 20, 16
BODY = b'{"id":"x","object":"chat.completion","model":"m","choices":[],"usage":{"completion_tokens":1}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)


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

    def live() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(serving)

    serving = loop.create_task(run())
    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    ready.wait()
    yield port[0]
    loop.call_soon_threadsafe(serving.cancel)
    thread.join()


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
def fleet(folder: Path, rate_per_s: float) -> Iterator[tuple[Running, RunningJobs, Load]]:
    """Everything, with requests going through it."""
    nodes = [f"node-{number:02}:cpu_cores=8,memory=4GiB,sample_interval=5" for number in range(NODES)]
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(many_engines())
        jobs = stack.enter_context(jobs_service(folder / "state", *nodes))
        submit_many(jobs.folder)
        front = stack.enter_context(configured_gateway(folder, _configuration(port, jobs.folder)))
        load = stack.enter_context(Load(front.addresses["gateway"], connections=10, rate_per_s=rate_per_s))
        time.sleep(8)  # two rounds of probes, and a chart with something in it
        yield front, jobs, load


def _configuration(port: int, state: Path) -> str:
    replicas = "".join(
        f'[[pools.replicas]]\nurl = "http://127.0.0.1:{port}/{number}"\nid = "gpu-{number:03}"\n'
        'models = ["emulated"]\n'
        for number in range(REPLICAS)
    )
    return f'workers = 1\n[console]\nstate = "{state}"\n[[pools]]\nshadow = "least-requests"\n{replicas}'
