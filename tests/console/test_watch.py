"""The look a second at both planes."""

import asyncio
import threading
from typing import Any

from tests.harness.console_planes import MemoryGateway, replica

from steelyard.console.planes import Origins
from steelyard.console.watch import Watch


class SlowJobs:
    """Answers when it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = threading.Event()

    def ask(self, op: str, **values: object) -> dict[str, Any]:
        self.asked += 1
        self.may_answer.wait(20)
        return {"balance_degree": 0.5}


def test_a_slow_jobs_service_does_not_keep_the_gateways_pages_still() -> None:
    gateway, jobs = MemoryGateway(), SlowJobs()

    async def use() -> None:
        watch = Watch(gateway, jobs, 2.0, lambda _: Origins())
        watch.viewers = 1
        for count in range(1, 5):
            gateway.replicas = [replica(str(number)) for number in range(count)]
            await watch.look()
            assert watch.sample is not None
            assert (len(watch.sample.replicas), watch.cluster) == (count, None)
            await asyncio.sleep(0)
        jobs.may_answer.set()
        assert watch.jobs_look is not None
        await watch.jobs_look
        assert (jobs.asked, watch.cluster) == (1, {"balance_degree": 0.5})
        watch.jobs.close()

    asyncio.run(use())
