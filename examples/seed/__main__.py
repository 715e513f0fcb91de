"""`python -m examples.seed`: the seed's ten tasks on its five nodes; the node of critical T5 is killed.

With live loads, a hot node and a report it is `steelyard demo jobs`; this is the same from two TOML files.
"""

import re
import sys
import time
from functools import partial
from pathlib import Path

from examples.service import Service, jobs_service, until

from steelyard.jobs.submission import submit_file
from steelyard.model.metrics import balance_degree, utilisation

HERE = Path(__file__).parent
NODES = "ABCDE"


def places(service: Service, jobs: dict[str, str]) -> dict[str, str]:
    """Task → node, of those that run."""
    tasks = {name: service.view(job_id)["task_views"][0] for name, job_id in jobs.items()}
    return {name: task["node"] for name, task in tasks.items() if task["state"] == "running"}


def show(placed: dict[str, str]) -> None:
    """The tasks of each node, and the seed's two measures of them."""
    for node in NODES:
        print(f"  {node}: {' '.join(name for name, place in placed.items() if place == node) or '-'}")
    counts = [sum(place == node for place in placed.values()) for node in NODES]
    print(f"  utilisation {utilisation(counts):.3f}, balance degree {balance_degree(counts):.3f}", flush=True)


def main() -> int:
    """0 when all tasks are done, T5 on another node than it began on and from where it was."""
    with jobs_service("--nodes", str(HERE / "nodes.toml")) as service:
        jobs = submit_file(service.client, HERE / "tasks.toml")
        until(lambda: len(places(service, jobs)) == len(jobs), "all tasks run")
        placed = places(service, jobs)
        show(placed)
        log = partial(service.log, jobs["T5"])
        until(lambda: "goes on after step 0" in log(), "T5 trains")
        time.sleep(1.0)  # of work that must not be lost
        print(f"{placed['T5']}, where T5 runs, is killed", flush=True)
        service.kill_node(placed["T5"])
        took_s = until(lambda: log().count("goes on after step") > 1, "T5 goes on")
        resumed = re.findall(r"^(\w): goes on after step (\d+)", log(), re.MULTILINE)[-1]
        print(f"T5 goes on on {resumed[0]} after step {resumed[1]}, {took_s:.1f} s later", flush=True)
        for job_id in jobs.values():
            service.wait(job_id)
        print(f"all {len(jobs)} tasks are done", flush=True)
    return 0 if resumed[0] != placed["T5"] and int(resumed[1]) > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
