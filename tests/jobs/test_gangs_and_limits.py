"""Gangs that keep their places, and time limits: real processes under the real service."""

import signal
from pathlib import Path

from tests.harness.jobs import RunningJobs, jobs_service
from tests.harness.processes import wait_until

ONE_CORE = "cpu_cores=1,memory=1GiB,sample_interval=0.3,respawn=false"
UNTIL_TOLD = 'echo "$RANK on $STEELYARD_NODE"; while [ ! -e "$DONE" ]; do sleep 0.05; done'
IMMUNE = "trap '' TERM; while true; do sleep 0.05; done"


def ranks(service: RunningJobs, job_id: str) -> list[str]:
    """Which rank ran where, in order; the shell also tells of the child that the request to stop ended."""
    lines = [line for index in range(2) for line in service.log(job_id, index).splitlines()]
    return [line for line in lines if " on " in line]


def test_a_survivor_keeps_its_place_through_the_loss_of_a_node_and_of_the_service(tmp_path: Path) -> None:
    with jobs_service(tmp_path / "state", f"A:{ONE_CORE}", f"B:{ONE_CORE}") as service:
        told = {"DONE": str(tmp_path / "done")}
        gang = service.submit(
            UNTIL_TOLD, tasks=2, gang=True, keep_claim="120s", resources={"cpu_cores": 1}, environment=told
        )
        wait_until(lambda: len(ranks(service, gang)) == 2, timeout_s=30)
        survivor = 0 if service.task(gang, 0)["node"] == "A" else 1

        service.agent("B").kill_group()
        wait_until(lambda: "keeps its place on A" in service.task(gang, survivor)["reason"], timeout_s=30)
        urgent = service.submit("true", priority=9, resources={"cpu_cores": 1})
        wait_until(lambda: "waits" in service.task(urgent), timeout_s=30)
        assert service.job(urgent)["state"] == "queued"

        service.kill()
        service.start()  # which brings B back
        wait_until(lambda: len(ranks(service, gang)) == 4, timeout_s=60)
        assert service.task(gang, survivor)["node"] == "A"
        assert service.task(gang, 1 - survivor)["node"] == "B"
        assert service.job(urgent)["state"] == "queued", "it waited, though it goes first"
        (tmp_path / "done").touch()
        service.wait_state(gang, "done")
        service.wait_state(urgent, "done")


def test_a_job_is_ended_at_its_time_limit_and_not_tried_again(tmp_path: Path) -> None:
    with jobs_service(tmp_path / "state", "A") as service:
        polite = service.submit(
            "trap 'echo saved; exit 0' TERM; while true; do sleep 0.05; done", time_limit=1
        )
        immune = service.submit(IMMUNE, time_limit=1, grace="500ms")
        in_time = service.submit("sleep 0.2", time_limit=60)
        for job_id in (polite, immune):
            view = service.wait_state(job_id, "failed")
            assert service.became(job_id) == ["queued", "placing", "running", "failed"]
            assert "its time limit of 1 s is over" in view["timeline"][-1]["reason"]
            assert view["ran_s"] >= 1.0
        assert "saved" in service.log(polite)
        assert service.task(immune)["exit_code"] == -signal.SIGKILL
        service.wait_state(in_time, "done")


def test_the_limit_holds_while_nobody_watches(tmp_path: Path) -> None:
    with jobs_service(tmp_path / "state", "A") as service:
        job_id = service.submit(IMMUNE, time_limit=2, grace="100ms")
        wait_until(lambda: "running" in service.became(job_id), timeout_s=60)
        service.kill()
        # The agent alone ends it: nobody is there to tell it to.
        store = service.folder / "nodes" / "A"
        wait_until(lambda: any(b'timed_out":true' in each.read_bytes() for each in store.rglob("end")), 60)
        service.start()
        view = service.wait_state(job_id, "failed")
        assert "time limit of 2 s" in view["task_views"][0]["reason"]
