"""Each ordering by example, what holds for all, and how fair they are."""

from collections import Counter
from random import Random

import pytest
from tests.harness.clusters import FirstFit, job, nodes

from steelyard.config.job_plugins import make_ordering
from steelyard.model.errors import ConfigError
from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import ClusterView, OrderingPolicy
from steelyard.model.resources import Resources
from steelyard.policies.ordering.deadline import EarliestDeadline
from steelyard.policies.ordering.fair_share import FairShare
from steelyard.policies.ordering.learned_index import learned_index
from steelyard.policies.ordering.least_attained import LeastAttained
from steelyard.policies.ordering.priority import Priority
from steelyard.policies.ordering.registry import ORDERING_SUMMARIES, ORDERINGS
from steelyard.policies.ordering.shortest_predicted import ShortestPredicted
from steelyard.scheduling.options import PlanOptions
from steelyard.simulation.foresight import Blind
from steelyard.simulation.queue_run import QueueRun
from steelyard.traces.job import TraceJob

CAPACITY = Resources(cpu_cores=256, memory_bytes=1e12, gpus=32)
IDLE = ClusterView((), CAPACITY)


def order(
    policy: OrderingPolicy, *jobs: QueuedJob, now_s: float = 100.0, view: ClusterView = IDLE
) -> list[str]:
    return [each.job_id for each in policy.ranked(jobs, view, now_s)]


def test_a_level_of_priority_is_worth_an_hour_of_waiting() -> None:
    old, new = job("old", submitted_s=0, priority=0), job("new", submitted_s=3599, priority=1)
    assert order(Priority(), old, new) == ["new", "old"]
    assert order(Priority(), old, job("new", submitted_s=3601, priority=1)) == ["old", "new"]
    assert order(make_ordering("strict-priority"), old, job("new", submitted_s=1e9, priority=1))[0] == "new"


def test_shortest_by_time_and_by_service() -> None:
    wide, long = job("wide", 8, expected_s=10), job("long", 1, expected_s=20)
    assert order(ShortestPredicted(), wide, long) == ["wide", "long"]
    assert order(ShortestPredicted(by_service=True), wide, long) == ["long", "wide"]
    assert order(ShortestPredicted(unknown_s=15), job("unknown"), long) == ["unknown", "long"]


def test_ageing_lets_a_long_job_pass_in_the_end() -> None:
    policy = ShortestPredicted(ageing=1.0)
    long = job("long", expected_s=100, submitted_s=0)
    assert order(policy, long, job("short", expected_s=10, submitted_s=89))[0] == "short"
    assert order(policy, long, job("short", expected_s=10, submitted_s=91))[0] == "long"


def test_least_attained_counts_gpus_and_time_in_levels() -> None:
    policy = LeastAttained(first_level_gpu_s=100, base=2)
    assert [policy.level(amount, 1) for amount in (0, 99, 100, 199, 200, 800)] == [0, 0, 1, 1, 2, 4]
    had_much, had_little = job("much", attained_gpu_s=500), job("little", attained_gpu_s=50, submitted_s=9)
    assert order(policy, had_much, had_little) == ["little", "much"]
    first, second = job("a", attained_gpu_s=10, submitted_s=5), job("b", attained_gpu_s=90, submitted_s=1)
    assert order(policy, first, second) == ["b", "a"], "first come, first served inside a level"


def test_a_starving_job_is_promoted() -> None:
    policy = LeastAttained(first_level_gpu_s=10, promote=8)
    old = job("old", attained_gpu_s=100)
    fresh = job("fresh", submitted_s=890)
    assert order(policy, old, fresh, now_s=890)[0] == "fresh"
    assert order(policy, old, fresh, now_s=901)[0] == "old"
    assert policy.epoch is None


def test_deadlines_in_order_and_lost_ones_last() -> None:
    jobs = (
        job("late", deadline_s=105, expected_s=50),
        job("soon", deadline_s=200, expected_s=50),
        job("later", deadline_s=300, expected_s=50),
        job("whenever", expected_s=5),
    )
    assert order(EarliestDeadline(), *jobs) == ["soon", "later", "whenever", "late"]
    assert order(EarliestDeadline(drop_late=False), *jobs)[0] == "late"


def test_fair_share_fills_the_tenant_that_has_least() -> None:
    queue = [job(f"{tenant}{at}", 8, tenant=tenant, submitted_s=at) for tenant in "ab" for at in range(3)]
    assert order(FairShare(), *queue) == ["a0", "b0", "a1", "b1", "a2", "b2"]
    weighted = FairShare(weights={"b": 2.0})
    assert order(weighted, *queue)[:4] == ["a0", "b0", "b1", "a1"]
    held = RunningJob(job=job("r", 16, tenant="a"), placements={}, started_s=0)
    assert order(FairShare(), *queue, view=ClusterView((held,), CAPACITY))[:2] == ["b0", "b1"]


def test_fair_share_looks_at_the_dominant_resource() -> None:
    hungry = RunningJob(job=job("cpu", 0, tenant="a", cores=128), placements={}, started_s=0)
    gpus = RunningJob(job=job("gpu", 8, tenant="b"), placements={}, started_s=0)
    policy = FairShare()
    order(policy, job("x", tenant="a"), view=ClusterView((hungry, gpus), CAPACITY))
    assert policy.share("a") == pytest.approx(0.5)
    assert policy.share("b") == pytest.approx(0.25)


def test_past_use_counts_and_fades() -> None:
    policy = FairShare(half_life_s=1000)
    order(policy, job("x"))
    policy.observe_use(job("past", 32, tenant="a"), 1000.0, 1000.0)
    a, b = job("a", tenant="a"), job("b", tenant="b", submitted_s=50)
    assert order(policy, a, b, now_s=1000) == ["b", "a"]
    just_now = policy.share("a")
    assert order(policy, a, b, now_s=3000) == ["b", "a"]
    assert policy.share("a") == pytest.approx(just_now / 4)


def test_fair_share_gives_equal_tenants_equal_service_whatever_they_submit() -> None:
    """One tenant submits ten times as many jobs; while both wait, they get the same."""
    rng = Random(3)
    jobs = [
        TraceJob(
            job_id=f"{tenant}{at:03d}",
            submitted_s=float(at % 10),
            duration_s=rng.uniform(20, 40),
            gpus=1,
            tenant=tenant,
        )
        for tenant, count in (("greedy", 400), ("modest", 40))
        for at in range(count)
    ]
    started: list[str] = []
    options = PlanOptions(ordering=FairShare(), placement=FirstFit())
    run = QueueRun(nodes(1), options, Blind(), on_start=lambda job_id, _: started.append(job_id[:6]))
    run.run(jobs)
    # Until the modest one has run out of jobs, every second start is its own: 8 of slack for the first round,
    # before anybody holds anything, and for durations that differ.
    first = Counter(started[: 2 * 40 - 16])
    assert abs(first["modest"] - first["greedy"]) <= 16


def test_the_learned_index_prefers_what_is_likely_to_end_soon() -> None:
    policy = learned_index()
    for at in range(40):
        policy.observe_end(job(f"s{at}", tenant="t"), 10.0 if at % 2 else 12.0, float(at))
        policy.observe_end(job(f"w{at}", 4), 5000.0, float(at))
    assert order(policy, job("wide", 4), job("narrow", 1, submitted_s=5)) == ["narrow", "wide"]
    outlived = job("outlived", 1, attained_gpu_s=3000.0)
    assert order(policy, outlived, job("fresh", 1, submitted_s=5)) == ["fresh", "outlived"]


def test_the_learned_index_says_when_waiting_jobs_must_be_sorted_again() -> None:
    policy = learned_index()
    before = policy.epoch
    for at in range(3):
        policy.observe_end(job("x"), 10.0, float(at))
    assert policy.epoch != before


@pytest.mark.parametrize("name", ORDERINGS)
def test_every_ordering_ranks_every_job_once_and_the_same_way_again(name: str) -> None:
    rng = Random(11)
    queue = [
        job(
            f"j{at:02d}",
            rng.choice([1, 2, 8]),
            submitted_s=rng.randrange(5),
            expected_s=rng.choice([None, 5.0, 50.0]),
            tenant=rng.choice("abc"),
            priority=rng.randrange(3),
            deadline_s=rng.choice([None, 90.0, 200.0]),
            attained_gpu_s=rng.choice([0.0, 500.0]),
        )
        for at in range(40)
    ]
    ranked = order(make_ordering(name), *queue)
    assert sorted(ranked) == sorted(each.job_id for each in queue)
    rng.shuffle(queue)
    assert order(make_ordering(name), *queue) == ranked, "the order of the queue does not matter"
    assert name in ORDERING_SUMMARIES


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'deadline'"):
        make_ordering("deadlin")
    with pytest.raises(ConfigError, match="above 0"):
        Priority(ageing_s=0)
    with pytest.raises(ConfigError, match="growth"):
        LeastAttained(base=1)
