"""Conservative backfill: as a plain reference has it, and no promise is ever broken."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness.clusters import FirstFit, job, nodes, running
from tests.harness.job_strategies import trace_jobs

from steelyard.model.job import QueuedJob, RunningJob
from steelyard.policies.ordering.fifo import Fifo
from steelyard.scheduling.memory import RoundMemory
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.plan import Plan
from steelyard.scheduling.planner import plan
from steelyard.simulation.foresight import Oracle
from steelyard.simulation.queue_run import QueueRun
from steelyard.traces.job import TraceJob

OPTIONS = PlanOptions(ordering=Fifo(), placement=FirstFit(), backfill="conservative", promised_jobs=1000)
CORES, NODES, HORIZON_S = 4, 2, 400

Shape = tuple[int, int, int]  # cores of each task, tasks, seconds
shapes = st.tuples(st.integers(1, CORES), st.integers(1, 3), st.integers(1, 9))


def earliest(used: list[list[int]], shape: Shape) -> tuple[int, list[int]] | None:
    """When and on which nodes a job fits first, second by second; taken there."""
    cores, tasks, lasts_s = shape
    for start_s in range(HORIZON_S - lasts_s):
        window = range(start_s, start_s + lasts_s)
        trial = [list(each) for each in used]
        places: list[int] = []
        for _ in range(tasks):
            free = (
                at for at, each in enumerate(trial) if all(each[second] + cores <= CORES for second in window)
            )
            node = next(free, None)
            if node is None:
                break
            for second in window:
                trial[node][second] += cores
            places.append(node)
        if len(places) == tasks:
            for at, each in enumerate(trial):
                used[at] = each
            return start_s, places
    return None


def queued(at: int, shape: Shape, prefix: str = "q") -> QueuedJob:
    cores, tasks, lasts_s = shape
    return job(f"{prefix}{at:02d}", 0, tasks, cores=cores, submitted_s=at, expected_s=float(lasts_s))


@settings(max_examples=150, deadline=None)
@given(held=st.lists(shapes, max_size=3), waiting=st.lists(shapes, min_size=1, max_size=9))
def test_times_and_places_are_those_of_a_search_second_by_second(
    held: list[Shape], waiting: list[Shape]
) -> None:
    table, used = nodes(NODES, gpus=0, cores=CORES), [[0] * HORIZON_S for _ in range(NODES)]
    runs: list[RunningJob] = []
    for at, shape in enumerate(held):
        each = queued(at, shape, "r")
        start = plan([each], runs, table, OPTIONS, 0.0).starts.get(each.job_id)
        if start is not None:
            runs.append(running(table, each, start.placements, 0.0))
            found = earliest(used, shape)
            assert found is not None
            assert found[0] == 0
    decided = plan([queued(at, shape) for at, shape in enumerate(waiting)], runs, table, OPTIONS, 0.0)
    for at, shape in enumerate(waiting):
        name = f"q{at:02d}"
        found = earliest(used, shape)
        if found is None:
            assert decided.waits[name].reason == "never"
            continue
        start_s, places = found
        if start_s:
            assert decided.waits[name].feasible_s == start_s
        else:
            assert [each.node_id for each in decided.starts[name].placements.values()] == [
                f"n{node:02d}" for node in places
            ]


@settings(max_examples=60, deadline=None)
@given(jobs=trace_jobs(most=18))
def test_with_true_durations_nobody_starts_after_a_promise(jobs: list[TraceJob]) -> None:
    """GPUs whole and shared, gangs over nodes; whoever was promised a time keeps it, whatever comes later."""
    run = QueueRun(nodes(2), OPTIONS, Oracle())
    promised: dict[str, float] = {}

    def started(job_id: str, at_s: float) -> None:
        assert at_s <= promised.get(job_id, at_s) + 1e-6
        for promise in run._memory.promises.values():
            best_s = promised.get(promise.job_id, promise.start_s)
            assert promise.start_s <= best_s + 1e-6, "a promise became worse"
            promised[promise.job_id] = min(best_s, promise.start_s)

    run.on_start = started
    assert len(run.run(jobs)) == len(jobs)


def round_of(queue: list[QueuedJob], held: list[RunningJob], backfill: str, promised: int = 20) -> Plan:
    table = nodes(1, gpus=0, cores=CORES)
    for each in held:
        running(table, each.job, each.placements, 0.0)
    options = replace(OPTIONS, backfill=backfill, promised_jobs=promised)
    return plan(queue, held, table, options, 0.0)


def test_the_second_in_line_is_protected_too_and_not_those_beyond_the_promised() -> None:
    first, second = queued(0, (4, 1, 10)), queued(1, (3, 1, 10))
    short = queued(2, (1, 1, 9))
    blocker = job("r", 0, cores=3, expected_s=10.0)
    table = nodes(1, gpus=0, cores=CORES)
    held = [running(table, blocker, plan([blocker], [], table, OPTIONS, 0.0).starts["r"].placements, 0.0)]
    decided = round_of([first, second, short], held, "conservative")
    assert decided.waits["q00"].feasible_s == 10.0
    assert decided.waits["q01"].feasible_s == 20.0
    assert set(decided.starts) == {"q02"}, "it ends before anybody needs its core"
    over = replace(short, expected_time_s=11.0)
    assert not round_of([first, second, over], held, "conservative").starts
    assert set(round_of([first, over], held, "greedy").starts) == {"q02"}


def test_only_so_many_are_promised_a_time() -> None:
    blocker = job("r", 0, cores=4, expected_s=10.0)
    table = nodes(1, gpus=0, cores=CORES)
    held = [running(table, blocker, plan([blocker], [], table, OPTIONS, 0.0).starts["r"].placements, 0.0)]
    queue = [queued(at, (4, 1, 5)) for at in range(5)]
    decided = round_of(queue, held, "conservative", promised=2)
    assert [decided.waits[f"q{at:02d}"].feasible_s for at in range(5)] == [10.0, 15.0, None, None, None]


def test_a_promise_is_kept_from_round_to_round_against_an_urgent_newcomer() -> None:
    blocker = job("r", 0, cores=4, expected_s=10.0)
    table, memory = nodes(1, gpus=0, cores=CORES), RoundMemory()
    held = [running(table, blocker, plan([blocker], [], table, OPTIONS, 0.0).starts["r"].placements, 0.0)]
    first = queued(5, (4, 1, 5))
    plan([first], held, table, OPTIONS, 1.0, memory)
    urgent = queued(0, (4, 1, 5))
    decided = plan([urgent, first], held, table, OPTIONS, 2.0, memory)
    assert decided.waits["q05"].feasible_s == 10.0
    assert decided.waits["q00"].feasible_s == 15.0
    assert plan([urgent], held, table, OPTIONS, 3.0, memory).waits["q00"].feasible_s == 10.0, "it has gone"


def test_who_outlives_the_expectation_moves_promises_and_breaks_nothing() -> None:
    blocker = job("r", 0, cores=4, expected_s=10.0)
    table, memory = nodes(1, gpus=0, cores=CORES), RoundMemory()
    held = [running(table, blocker, plan([blocker], [], table, OPTIONS, 0.0).starts["r"].placements, 0.0)]
    queue = [queued(0, (4, 1, 5)), queued(1, (1, 1, 5))]
    plan(queue, held, table, OPTIONS, 1.0, memory)
    late = plan(queue, held, table, OPTIONS, 12.0, memory)
    assert not late.starts
    assert late.waits["q00"].feasible_s is not None
    assert late.waits["q00"].feasible_s > 12.0
