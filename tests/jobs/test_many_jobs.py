"""Row 20 of the fault matrix: ten thousand jobs at once, and a controller killed again and again."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.harness.controller_kills import Killing
from tests.harness.jobs import jobs_service
from tests.harness.processes import wait_until

from steelyard.jobs.client import JobsClient
from steelyard.jobs.specification import from_table

JOBS = 10_000
CALLERS = 32  # people at once: the service writes what came together in one transaction


def test_ten_thousand_jobs_at_once_are_all_accepted_and_listed_at_once(tmp_path: Path) -> None:
    table = {"command": ["sleep", "600"], "grace": 0, "resources": {"cpu_cores": 8}}
    specification = from_table(table, tmp_path)

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
        assert sorted(took_s)[10] < 0.2, took_s
        service.kill()
        service.start()
        answer = service.client.ask("jobs", limit=1)
        assert (answer["total"], sum(answer["task_states"].values())) == (JOBS, JOBS)
        # And work goes on: when one leaves, the next starts, while ten thousand wait.
        running = service.client.ask("jobs", limit=JOBS, state="running")["jobs"]
        assert len(running) == 2
        service.client.ask("cancel", job=running[0]["job"])
        wait_until(lambda: service.client.ask("jobs", limit=1)["task_states"].get("cancelled") == 1)
        wait_until(lambda: service.client.ask("jobs", limit=1)["task_states"].get("running") == 2)


def test_a_controller_killed_at_random_moments_loses_doubles_and_forgets_nothing(tmp_path: Path) -> None:
    figures = Killing(tmp_path, kills=6, seed=2).play()
    assert figures.is_good, figures
    assert figures.tasks > 0
