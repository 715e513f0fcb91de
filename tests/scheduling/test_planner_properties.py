"""What holds for every queue: whole gangs, no place twice, no delayed head, everybody ends."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness.clusters import FirstFit, job, nodes, running
from tests.harness.job_strategies import trace_jobs

from steelyard.cluster.node_table import NodeTable
from steelyard.config.job_plugins import make_ordering
from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.placement_policy import Placement
from steelyard.policies.ordering.fifo import Fifo
from steelyard.policies.ordering.registry import ORDERINGS
from steelyard.scheduling.options import BACKFILLS, PlanOptions
from steelyard.scheduling.planner import plan
from steelyard.simulation.foresight import Blind, Oracle
from steelyard.simulation.queue_run import QueueRun, RunCosts
from steelyard.traces.job import TraceJob

SETTINGS = settings(max_examples=60, deadline=None)


def snapshot(table: NodeTable) -> tuple[object, ...]:
    return (
        [list(each) for each in table.devices],
        list(table.cpu_free),
        list(table.memory_free),
        sorted(table.reservations),
    )


@SETTINGS
@given(
    gangs=st.lists(st.tuples(st.sampled_from([0.5, 1, 2, 4, 8]), st.integers(1, 4)), min_size=1, max_size=8),
    backfill=st.sampled_from(BACKFILLS),
    seed_held=st.integers(0, 3),
)
def test_a_plan_places_whole_gangs_on_free_devices_and_leaves_the_table(
    gangs: list[tuple[float, int]], backfill: str, seed_held: int
) -> None:
    table = nodes(3)
    options = PlanOptions(ordering=Fifo(), placement=FirstFit(), backfill=backfill)
    held: list[RunningJob] = []
    for at in range(seed_held):
        each = job(f"h{at}", 4, expected_s=10.0 * at + 5)
        held.append(
            running(table, each, plan([each], held, table, options, 0.0).starts[f"h{at}"].placements, 0.0)
        )
    before = snapshot(table)
    queue = [
        job(f"q{at}", gpus, tasks, submitted_s=at, expected_s=7.0) for at, (gpus, tasks) in enumerate(gangs)
    ]
    decided = plan(queue, held, table, options, 20.0)
    assert snapshot(table) == before
    by_id = {each.job_id: each for each in queue}
    for name, start in decided.starts.items():
        assert set(start.placements) == {claim.task_id for claim in by_id[name].claims}
        running(table, by_id[name], start.placements, 20.0)  # raises where a place is taken


@SETTINGS
@given(
    jobs=trace_jobs(),
    name=st.sampled_from(sorted(ORDERINGS)),
    backfill=st.sampled_from(BACKFILLS),
)
def test_everybody_ends_once_under_every_ordering(jobs: list[TraceJob], name: str, backfill: str) -> None:
    """No deadlock, no starvation in a finite trace, and the work done is the work asked for."""
    options = PlanOptions(
        ordering=make_ordering(name), placement=FirstFit(), backfill=backfill, min_run_s=1.0, unknown_s=20.0
    )
    run = QueueRun(nodes(2), options, Blind(), RunCosts(checkpoint_s=0.5, restart_s=0.5, tick_s=3.0))
    outcomes = run.run(jobs)
    assert not run.never
    assert sorted(each.job.job_id for each in outcomes) == sorted(each.job_id for each in jobs)
    assert all(each.completion_s >= each.job.duration_s - 1e-6 for each in outcomes)
    assert run.table.gpu_free == [8000, 8000]


@SETTINGS
@given(jobs=trace_jobs(most=18))
def test_backfill_never_delays_the_head(jobs: list[TraceJob]) -> None:
    """With true durations the head starts no later than any reservation it was ever given."""
    options = PlanOptions(ordering=Fifo(), placement=FirstFit(), backfill="easy")
    promised: dict[str, float] = {}
    started: dict[str, float] = {}
    table = nodes(2)
    held: dict[str, tuple[RunningJob, float]] = {}
    waiting: list[TraceJob] = []
    times = sorted({each.submitted_s for each in jobs})
    while times:
        now_s = times.pop(0)
        for name, (each, end_s) in list(held.items()):
            if end_s <= now_s:
                for task_id in each.placements:
                    table.release(task_id)
                del held[name]
        waiting += [each for each in jobs if each.submitted_s == now_s and each.job_id not in started]
        queue = [
            job(
                each.job_id,
                min(8, each.gpus),
                -(-each.gpus // 8),
                submitted_s=each.submitted_s,
                expected_s=each.duration_s,
            )
            for each in waiting
            if each.job_id not in started
        ]
        decided = plan(queue, [each for each, _ in held.values()], table, options, now_s)
        if decided.head:
            at_s = decided.waits[decided.head].feasible_s
            assert at_s is not None
            promised[decided.head] = min(promised.get(decided.head, at_s), at_s)
        by_id = {each.job_id: each for each in queue}
        for name, start in decided.starts.items():
            started[name] = now_s
            end_s = now_s + next(each.duration_s for each in jobs if each.job_id == name)
            held[name] = (running(table, by_id[name], start.placements, now_s), end_s)
            times = sorted({*times, end_s})
    assert set(started) == {each.job_id for each in jobs}
    assert all(started[name] <= at_s for name, at_s in promised.items())


@SETTINGS
@given(
    first=st.integers(1, 3),
    second=st.integers(1, 3),
    held_until_s=st.floats(0, 100),
)
def test_two_gangs_that_lost_tasks_never_hold_against_each_other_for_ever(
    first: int, second: int, held_until_s: float
) -> None:
    """ray#65147: both keep survivors, neither finds the rest; after a while one gives way and both run."""
    table = nodes(4)
    gangs = {"red": job("red", 8, 4), "blue": job("blue", 8, 4)}
    kept: dict[str, dict[str, Placement]] = {"red": {}, "blue": {}}
    free = [f"n{at:02d}" for at in range(4)]
    for name, survivors in (("red", first), ("blue", min(second, 4 - first))):
        for rank in range(survivors):
            place = Placement(free.pop(0), tuple(range(8)), 0.0, "kept")
            table.reserve(place, gangs[name].claims[rank])
            kept[name][f"{name}/{rank}"] = place
    options = PlanOptions(ordering=Fifo(), placement=FirstFit())
    done: list[str] = []
    for step in range(12):
        now_s = 10.0 * step
        queue = [_with_kept(name, kept[name], held_until_s) for name in gangs if name not in done]
        decided = plan(queue, [], table, options, now_s)
        for name in decided.releases:
            for task_id in kept[name]:
                table.release(task_id)
            kept[name] = {}
        for name, start in decided.starts.items():
            running(table, gangs[name], start.placements, now_s)
            for task_id in start.placements:
                table.release(task_id)  # and it ends at once
            done.append(name)
    assert sorted(done) == ["blue", "red"]


def _with_kept(name: str, kept: Mapping[str, Placement], until_s: float) -> QueuedJob:
    return replace(job(name, 8, 4), kept=kept, kept_until_s=until_s)


@pytest.mark.parametrize("name", ORDERINGS)
def test_a_run_repeats_exactly(name: str) -> None:
    jobs = [
        TraceJob(
            job_id=f"j{at}", submitted_s=at % 7, duration_s=1 + at % 5, gpus=1 + at % 8, tenant=f"t{at % 3}"
        )
        for at in range(60)
    ]

    def run() -> list[tuple[str, float]]:
        options = PlanOptions(ordering=make_ordering(name), placement=FirstFit(), min_run_s=0.5)
        outcomes = QueueRun(nodes(1), options, Oracle(), RunCosts(tick_s=1.0)).run(jobs)
        return [(each.job.job_id, each.finished_s) for each in outcomes]

    assert run() == run()
