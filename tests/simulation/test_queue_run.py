"""The queue in virtual time: by hand, beside an independent simulation, and on a real trace."""

import heapq
from random import Random

import pytest
from tests.harness.clusters import FirstFit, nodes

from steelyard.config.job_plugins import make_ordering
from steelyard.policies.ordering.fifo import Fifo
from steelyard.policies.ordering.learned_index import learned_index
from steelyard.policies.ordering.least_attained import LeastAttained
from steelyard.policies.ordering.shortest_predicted import ShortestPredicted
from steelyard.scheduling.options import PlanOptions
from steelyard.simulation.foresight import Blind, Learned, Oracle
from steelyard.simulation.queue_run import JobOutcome, QueueRun, RunCosts, claims_of
from steelyard.traces.job import TraceJob
from steelyard.traces.job_readers import PHILLY_JOBS, PHILLY_NODES, read_philly
from steelyard.traces.readers import data_folder

STRICT_FIFO = PlanOptions(ordering=Fifo(), placement=FirstFit(), backfill="none")


def trace(seed: int, count: int) -> list[TraceJob]:
    rng = Random(seed)
    return [
        TraceJob(
            job_id=f"j{at:04d}",
            submitted_s=float(rng.randrange(count * 4)),
            duration_s=float(rng.randrange(1, 200)),
            gpus=rng.choice([1, 1, 2, 4, 8, 12, 16]),
            tenant="t",
        )
        for at in range(count)
    ]


def by_reference(jobs: list[TraceJob], node_count: int) -> dict[str, float]:
    """Strict first in, first out, first fit: written apart from the simulator, with bare lists."""
    free = [8] * node_count
    waiting = sorted(jobs, key=lambda job: (job.submitted_s, job.job_id))
    ends: list[tuple[float, str, list[tuple[int, int]]]] = []
    finished: dict[str, float] = {}
    now_s = 0.0
    while waiting:
        job = waiting[0]
        now_s = max(now_s, job.submitted_s)
        while ends and ends[0][0] <= now_s:
            for node, gpus in heapq.heappop(ends)[2]:
                free[node] += gpus
        wanted = [8] * (job.gpus // 8) + ([job.gpus % 8] if job.gpus % 8 else [])
        left, taken = free.copy(), []
        for gpus in wanted:
            node = next((at for at in range(node_count) if left[at] >= gpus), -1)
            if node < 0:
                break
            left[node] -= gpus
            taken.append((node, gpus))
        if len(taken) < len(wanted):
            now_s = ends[0][0]
            continue
        free = left
        waiting.pop(0)
        finished[job.job_id] = now_s + job.duration_s
        heapq.heappush(ends, (now_s + job.duration_s, job.job_id, taken))
    return finished


def test_two_jobs_by_hand() -> None:
    jobs = [
        TraceJob(job_id="a", submitted_s=0, duration_s=10, gpus=8),
        TraceJob(job_id="b", submitted_s=2, duration_s=5, gpus=1),
    ]
    first, second = QueueRun(nodes(1), STRICT_FIFO, Blind()).run(jobs)
    assert (first.completion_s, second.completion_s, second.waited_s) == (10, 13, 8)


@pytest.mark.parametrize("seed", range(5))
def test_strict_fifo_equals_an_independent_simulation(seed: int) -> None:
    jobs = trace(seed, 300)
    outcomes = QueueRun(nodes(3), STRICT_FIFO, Blind()).run(jobs)
    assert {each.job.job_id: each.finished_s for each in outcomes} == by_reference(jobs, 3)


def test_a_stop_costs_a_checkpoint_and_a_restart() -> None:
    jobs = [
        TraceJob(job_id="long", submitted_s=0, duration_s=1000, gpus=8),
        TraceJob(job_id="short", submitted_s=100, duration_s=50, gpus=8),
    ]
    options = PlanOptions(ordering=make_ordering("shortest-remaining"), placement=FirstFit(), min_run_s=1)
    outcomes = QueueRun(nodes(1), options, Oracle(), RunCosts(checkpoint_s=5, restart_s=20)).run(jobs)
    ended = {each.job.job_id: each for each in outcomes}
    assert ended["short"].finished_s == 150
    assert ended["long"].finished_s == 1000 + 50 + 5 + 20
    assert ended["long"].stops == 1


def test_shortest_first_beats_fifo_and_learned_lies_between() -> None:
    rng = Random(9)
    usual = {"quick": 20.0, "slow": 900.0}
    jobs = [
        TraceJob(
            job_id=f"j{at:04d}",
            submitted_s=at * 165.0,
            duration_s=usual[name] * rng.uniform(0.5, 1.5),
            gpus=4,
            user="ann",
            name=name,
        )
        for at in range(400)
        for name in [rng.choice(["quick", "quick", "slow"])]
    ]

    def mean(options: PlanOptions, foresight: Oracle | Learned | Blind) -> float:
        outcomes = QueueRun(nodes(1), options, foresight).run(jobs)
        return sum(each.completion_s for each in outcomes) / len(outcomes)

    shortest = PlanOptions(ordering=ShortestPredicted(), placement=FirstFit(), backfill="none")
    fifo, oracle, learned = mean(STRICT_FIFO, Blind()), mean(shortest, Oracle()), mean(shortest, Learned())
    assert oracle < learned < fifo
    assert learned < 1.3 * oracle


def test_learning_never_looks_ahead() -> None:
    """Until the first end, a learned order is the same whatever the durations are."""

    def starts(durations: list[float]) -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []
        jobs = [
            TraceJob(job_id=f"j{at}", submitted_s=0.5 * at, duration_s=duration_s, gpus=2, user="ann")
            for at, duration_s in enumerate(durations)
        ]
        options = PlanOptions(ordering=learned_index(), placement=FirstFit(), min_run_s=1.0)
        QueueRun(
            nodes(1), options, Learned(), RunCosts(tick_s=1.0), on_start=lambda *each: seen.append(each)
        ).run(jobs)
        return [each for each in seen if each[1] < 40]

    assert starts([50.0] * 20) == starts([50.0 + 10 * at for at in range(20)])


def test_wide_jobs_are_cut_into_nodes() -> None:
    job = TraceJob(job_id="w", submitted_s=0, duration_s=1, gpus=20)
    assert [claim.demand.gpus for claim in claims_of(job, 8)] == [8, 8, 4]
    assert [claim.demand.gpus for claim in claims_of(job, 0)] == [20]


def completions(outcomes: list[JobOutcome]) -> float:
    return sum(each.completion_s for each in outcomes) / len(outcomes)


@pytest.mark.trace
def test_on_a_virtual_cluster_of_philly_the_orders_rank_as_published() -> None:
    """A quarter of virtual cluster e13805; the whole table is in benchmarks/results/ordering.md."""
    folder = data_folder()
    if folder is None:
        pytest.skip("needs public traces: set STEELYARD_DATA to their folder")
    jobs = [job for job in read_philly(folder / PHILLY_JOBS) if job.tenant == "e13805"]
    node_count = PHILLY_NODES["e13805"] // 4
    fifo = QueueRun(nodes(node_count), STRICT_FIFO, Blind()).run(jobs)
    assert {each.job.job_id: each.finished_s for each in fifo} == by_reference(jobs, node_count)
    shortest = PlanOptions(ordering=ShortestPredicted(), placement=FirstFit(), backfill="none")
    attained = PlanOptions(
        ordering=LeastAttained(), placement=FirstFit(), backfill="greedy", explain=False, min_run_s=60
    )
    oracle = QueueRun(nodes(node_count), shortest, Oracle()).run(jobs)
    blind = QueueRun(nodes(node_count), attained, Blind(), RunCosts(checkpoint_s=30, restart_s=30)).run(jobs)
    assert completions(oracle) < completions(fifo)
    assert completions(blind) < completions(fifo)
