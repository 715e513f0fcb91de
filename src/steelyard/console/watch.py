"""The console's one look a second at both planes, from which all pages and all viewers are served.

Cost: 0.3 ms a second for a gateway of 200 replicas. The jobs service is asked every second only while
somebody looks, else every ten.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import time
from typing import Any

from steelyard.config.schema import Configuration
from steelyard.console.asked_jobs import AskedJobs, NoJobs
from steelyard.console.asked_workers import AskedWorkers
from steelyard.console.history import Points, StateHistory
from steelyard.console.planes import GatewayPlane, JobsPlane, Origins
from steelyard.console.rates import Rates, fell, in_flight_balance, rates
from steelyard.model.errors import SteelyardError
from steelyard.model.gateway_sample import GatewaySample

TICK_S = 1.0
WINDOW_POINTS = 10  # seconds over which quantiles are taken: one second has too few answers for a p95
SELDOM = 10


class Watch:
    """Both planes as they were a moment ago."""

    def __init__(
        self,
        gateway: GatewayPlane,
        jobs: JobsPlane | None,
        objective_s: float,
        origins: Callable[[Configuration], Origins],
    ) -> None:
        self.gateway = gateway
        self.origins = origins
        self.jobs = AskedJobs(jobs)
        self.workers = AskedWorkers()
        self.objective_s = objective_s
        self.points = Points()
        self.states = StateHistory()
        self.sample: GatewaySample | None = None
        self.rates = Rates()
        self.cluster: dict[str, Any] | None = None
        self.jobs_missing = ""
        self.viewers = 0
        self.ticks = 0  # of looks and changes: what was made in one is good for all who look in it
        self.jobs_look: asyncio.Task[None] | None = None
        self._looks = 0
        self._recent: deque[GatewaySample] = deque(maxlen=WINDOW_POINTS + 1)
        self._ticked = asyncio.Event()

    async def run(self) -> None:
        """Look, until cancelled."""
        try:
            while True:
                try:
                    await self.look()
                except Exception as error:  # noqa: BLE001 - a page that stops is better than a gateway that does
                    _complain(error)
                self._tell()
                await asyncio.sleep(TICK_S)
        finally:
            if self.jobs_look is not None:
                self.jobs_look.cancel()
            self.jobs.close()

    def _tell(self) -> None:
        self._ticked.set()
        self._ticked = asyncio.Event()

    def changed(self) -> None:
        """Somebody did something: show it now, not at the next look."""
        with suppress(SteelyardError):
            self.sample = self.gateway.sample()
        self.ticks += 1
        self._tell()

    async def next_tick(self) -> None:
        """Wait for the next look."""
        await self._ticked.wait()

    async def look(self) -> None:
        """One look. The jobs service answers when it can: a slow one keeps no gateway page still."""
        self.ticks += 1
        self._looks += 1
        looking = self.jobs_look is not None and not self.jobs_look.done()
        if not looking and (self.viewers or self._looks % SELDOM == 1):
            self.jobs_look = asyncio.create_task(self._look_at_jobs())
        try:
            sample = self.gateway.sample()
        except SteelyardError:
            return  # it is starting
        self._take(sample)

    async def _look_at_jobs(self) -> None:
        if not self.jobs.wanted:
            return
        try:
            self.cluster = await self.jobs.ask("top")
            self.jobs_missing = ""
        except (NoJobs, SteelyardError) as error:
            self.cluster, self.jobs_missing = None, str(error)
        except Exception as error:  # noqa: BLE001 - as in `run`: this is a task's outer edge
            _complain(error)

    def _take(self, sample: GatewaySample) -> None:
        recent = self._recent
        if recent and fell(recent[-1], sample):
            recent.clear()
        last = rates(recent[-1], sample, self.objective_s) if recent else Rates()
        recent.append(sample)
        self.sample, self.rates = sample, rates(recent[0], sample, self.objective_s)
        for each in sample.replicas:
            self.states.note(each.replica_id, each.state, sample.monotonic_s)
        self.points.add(
            (
                sample.at_s,
                last.requests_per_s,
                last.goodput_per_s,
                last.errors_per_s,
                self.rates.ttft_p50_s,
                self.rates.ttft_p95_s,
                float(sum(each.in_flight for each in sample.replicas)),
                in_flight_balance(sample),
                self.cluster["balance_degree"] if self.cluster else None,
            )
        )

    def now_s(self) -> float:
        """Seconds since 1970."""
        return time()


def _complain(error: Exception) -> None:
    print(f"steelyard: the console could not look: {error!r}", file=sys.stderr, flush=True)
