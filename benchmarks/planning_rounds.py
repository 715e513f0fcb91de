"""What a planning round costs: 10,000 waiting jobs, 1,000 nodes of 8 GPUs, all in use."""

import random
import time
from collections.abc import Callable

from steelyard.cluster.node_table import NodeTable
from steelyard.config.job_plugins import make_ordering
from steelyard.model.job import QueuedJob, RunningJob, gang
from steelyard.model.node import Node
from steelyard.model.placement_policy import Claim
from steelyard.model.resources import Resources
from steelyard.policies.placement.registry import PLACEMENTS
from steelyard.policies.settings import PlacementSettings
from steelyard.scheduling.memory import RoundMemory
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.planner import Plan, plan
from steelyard.scheduling.queue import JobQueue

NODES, WAITING = 1_000, 10_000
CASES = (
    ("fifo", "first-fit", "easy"),
    ("priority", "least-stranding", "easy"),
    ("priority", "best-fit", "greedy"),
    ("fair-share", "best-fit", "easy"),
    ("least-attained", "best-fit", "greedy"),
    ("deadline", "fgd", "easy"),
)


def a_job(name: str, rng: random.Random, submitted_s: float, tasks: int) -> QueuedJob:
    """A random job of equal tasks."""
    demand = Resources(cpu_cores=rng.choice([1, 2, 4]), gpus=rng.choice([1, 2, 4, 8]))
    return QueuedJob(
        job_id=name,
        claims=gang(Claim(task_id=name, job_id=name, demand=demand), tasks),
        tenant=rng.choice("abcdefgh"),
        priority=rng.randrange(3),
        submitted_s=submitted_s,
        deadline_s=submitted_s + rng.uniform(1e4, 1e5),
        expected_time_s=rng.uniform(100, 10_000),
        checkpoint_cost_s=10.0,
    )


def rounds_table() -> list[str]:
    """Lines of a table."""
    return [
        "Milliseconds of processor time a round. *First*: nothing is known of the queue. *Again*: nothing",
        "was freed since. *After an end*: one job ended.",
        "",
        "| order | placement | who may pass | running | first | again | after an end | starts then |",
        "|---|---|---|---:|---:|---:|---:|---:|",
        *(case(*each) for each in CASES),
    ]


def case(ordering: str, placement: str, backfill: str) -> str:
    """Measure one."""
    rng = random.Random(7)
    capacity = Resources(cpu_cores=96, memory_bytes=1 << 40, gpus=8)
    table = NodeTable(Node(node_id=f"n{at:04d}", capacity=capacity) for at in range(NODES))
    options = PlanOptions(
        ordering=make_ordering(ordering),
        placement=PLACEMENTS[placement](PlacementSettings(rng=random.Random(1))),
        backfill=backfill,
    )
    running = _filled(table, options, rng)
    queue = JobQueue(
        options.ordering,
        (a_job(f"q{at:05d}", rng, at, rng.choice([1, 1, 1, 2, 4, 16])) for at in range(WAITING)),
    )
    memory = RoundMemory()

    def round_() -> Plan:
        return plan(queue, running, table, options, 5_000.0, memory)

    first_s, _ = _timed(round_)
    again_s, _ = _timed(round_)
    for task_id in running.pop(0).placements:
        table.release(task_id)
    after_s, decided = _timed(round_)
    figures = (f"{len(running):,}", *(f"{each * 1e3:.0f}" for each in (first_s, again_s, after_s)))
    cells = (ordering, placement, backfill, *figures, str(len(decided.starts)))
    return "| " + " | ".join(cells) + " |"


def _filled(table: NodeTable, options: PlanOptions, rng: random.Random) -> list[RunningJob]:
    """Running jobs that leave nothing free."""
    running: list[RunningJob] = []
    search = PlanOptions(ordering=make_ordering("fifo"), placement=options.placement, backfill="greedy")
    at = 0
    while sum(table.gpu_free) > 0:
        jobs = [a_job(f"r{at + each:05d}", rng, each, 1) for each in range(400)]
        at += len(jobs)
        starts = plan(jobs, [], table, search, 0.0).starts
        for job in jobs:
            if job.job_id in starts:
                places = starts[job.job_id].placements
                for claim in job.claims:
                    table.reserve(places[claim.task_id], claim)
                running.append(RunningJob(job=job, placements=places, started_s=0.0))
    return running


def _timed(work: Callable[[], Plan]) -> tuple[float, Plan]:
    started_s = time.process_time()
    decided = work()
    return time.process_time() - started_s, decided


if __name__ == "__main__":
    print("\n".join(rounds_table()))
