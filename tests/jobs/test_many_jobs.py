"""Row 20 of the fault matrix: ten thousand jobs at once, and a controller killed again and again."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.harness.controller_kills import Killing
from tests.harness.jobs import jobs_service

from steelyard.jobs.client import JobsClient
from steelyard.jobs.specification import from_table

JOBS = 10_000
CALLERS = 4


def test_ten_thousand_jobs_at_once_are_all_accepted_and_listed_at_once(tmp_path: Path) -> None:
    table = {"command": ["true"], "nodes": ["A"], "resources": {"cpu_cores": 8}}
    specification = from_table({**table, "nodes": ["nowhere"]}, tmp_path)

    def submit(caller: int) -> list[str]:
        client = JobsClient(tmp_path / "state")
        return [client.submit(specification, f"key{number}") for number in range(caller, JOBS, CALLERS)]

    with jobs_service(tmp_path / "state", "A", "B") as service:
        with ThreadPoolExecutor(CALLERS) as callers:
            accepted = [job_id for each in callers.map(submit, range(CALLERS)) for job_id in each]
        assert len(set(accepted)) == JOBS
        took_s = []
        for _ in range(20):
            began_s = time.perf_counter()
            answer = service.client.ask("jobs", limit=40)
            took_s.append(time.perf_counter() - began_s)
        assert answer["total"] == JOBS
        # 200 ms is the promise; the median of 20, since this machine may be doing other things.
        assert sorted(took_s)[10] < 0.2
        service.kill()
        service.start()
        assert service.client.ask("jobs", limit=1)["total"] == JOBS
        # And work goes on: a job that has a place is done while ten thousand wait.
        job_id = service.submit("echo through")
        service.wait_state(job_id, "done")


def test_a_controller_killed_at_random_moments_loses_doubles_and_forgets_nothing(tmp_path: Path) -> None:
    figures = Killing(tmp_path, kills=6, seed=2).play()
    assert figures.is_good, figures
    assert figures.tasks > 0
