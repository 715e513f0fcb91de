"""The demo's story: six engines of different speed, a real trace, one engine killed and brought back; once
a policy.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from steelyard.demo.processes import Child, Children
from steelyard.model.metrics import balance_degree, utilisation
from steelyard.replay.client import Outcome
from steelyard.replay.report import ReplayReport, summarise
from steelyard.replay.run import replay
from steelyard.reports.objectives import Objective
from steelyard.traces.request import TraceRequest

POLICIES = ("round-robin", "least-requests", "prefix-ttft")
# A fleet as it grows over the years: two new machines, two that are half as fast, two older ones.
ENGINES = (
    ("llama2-70b-h100x8", 1.0), ("llama2-70b-h100x8", 1.0),
    ("llama2-70b-a100x8", 0.8), ("llama2-70b-a100x8", 0.8),
    ("llama2-70b-a100x4", 0.6), ("llama2-70b-a100x4", 0.6),
)  # fmt: skip
KILLED = 0
MODEL = "emulated"
SAMPLE_S = 0.25


@dataclass(slots=True)
class PolicyRun:
    """What one policy did."""

    policy: str
    report: ReplayReport
    outcomes: list[Outcome]
    samples: list[dict[str, float]] = field(default_factory=list)

    @property
    def mean_loads(self) -> list[float]:
        """Mean requests in flight on each replica, over the run."""
        names = sorted({name for sample in self.samples for name in sample})
        return [
            sum(sample.get(name, 0.0) for sample in self.samples) / max(1, len(self.samples))
            for name in names
        ]

    @property
    def utilisation(self) -> float:
        """The seed's utilisation of the mean loads."""
        return utilisation(self.mean_loads)

    @property
    def balance_degree(self) -> float:
        """The seed's balance degree of the mean loads."""
        return balance_degree(self.mean_loads)


async def run_policy(
    policy: str,
    requests: Sequence[TraceRequest],
    speed: float,
    time_scale: float,
    objective: Objective,
    done: Callable[[], None],
) -> PolicyRun:
    """One run: start everything, replay, kill and restore an engine, end everything."""
    async with Children() as children:
        starts = (_start_engine(children, at, 0, time_scale) for at in range(len(ENGINES)))
        engines = list(await asyncio.gather(*starts))
        urls = [engine.addresses["engine"] for engine in engines]
        options = [option for url in urls for option in ("--engine", url)]
        gateway = await children.start(
            "serve", *options, "--policy", policy, "--workers", "1", "--seed", "7",
            "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", listens=("gateway", "admin"),
        )  # fmt: skip
        span_s = requests[-1].arrival_s / speed
        samples: list[dict[str, float]] = []
        background = [
            asyncio.create_task(_sample(gateway.addresses["admin"], samples)),
            asyncio.create_task(_kill_and_restore(children, engines, urls, span_s, time_scale)),
        ]
        try:
            address = gateway.addresses["gateway"]
            outcomes, took_s = await replay(requests, address, model=MODEL, speed=speed, done=done)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
    return PolicyRun(policy, summarise(outcomes, took_s, objective), outcomes, samples)


async def _start_engine(children: Children, at: int, port: int, time_scale: float) -> Child:
    profile, speed = ENGINES[at]
    return await children.start(
        "engine", "--profile", profile, "--time-scale", str(speed * time_scale),
        "--port", str(port), "--model", MODEL,
        listens=("engine",),
    )  # fmt: skip


async def _kill_and_restore(
    children: Children, engines: list[Child], urls: list[str], span_s: float, time_scale: float
) -> None:
    """Kill an engine a third into the run; start it again, at the same address, at two thirds."""
    await asyncio.sleep(span_s / 3)
    await engines[KILLED].kill()
    await asyncio.sleep(span_s / 3)
    await _start_engine(children, KILLED, urlsplit(urls[KILLED]).port or 0, time_scale)


async def _sample(admin: str, samples: list[dict[str, float]]) -> None:
    """Read the load of each replica four times a second."""
    parts = urlsplit(admin)
    while True:
        with contextlib.suppress(OSError, ValueError):
            samples.append(await _loads(parts.hostname or "", parts.port or 0))
        await asyncio.sleep(SAMPLE_S)


async def _loads(host: str, port: int) -> dict[str, float]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /metrics HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        text = (await reader.read()).decode()
    finally:
        writer.close()
    name = "steelyard_replica_requests_in_flight{"
    lines = [line for line in text.splitlines() if line.startswith(name)]
    return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines}
