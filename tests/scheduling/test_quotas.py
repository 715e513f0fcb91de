"""Quotas: what is promised, lent and taken back."""

import pytest
from tests.harness.clusters import FirstFit, job, nodes, running

from steelyard.model.errors import ConfigError
from steelyard.model.job import RunningJob
from steelyard.model.resources import Resources
from steelyard.policies.ordering.fifo import Fifo
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.planner import plan
from steelyard.scheduling.quotas import Quota

HALF = Quota(nominal=Resources(gpus=8))


def options(**quotas: Quota) -> PlanOptions:
    return PlanOptions(ordering=Fifo(), placement=FirstFit(), quotas=quotas, min_run_s=0, backfill="greedy")


def test_a_job_within_its_tenants_quota_goes_before_older_borrowers() -> None:
    table = nodes(2)
    queue = [job(f"red{at}", 8, tenant="red", submitted_s=at) for at in range(3)]
    queue.append(job("blue", 8, tenant="blue", submitted_s=99))
    decided = plan(queue, [], table, options(red=HALF, blue=HALF), 100.0)
    assert set(decided.starts) == {"red0", "blue"}


def test_idle_resources_are_lent_and_taken_back() -> None:
    table = nodes(2)
    quotas = options(red=HALF, blue=HALF)
    queue = [job(f"red{at}", 8, tenant="red", submitted_s=at) for at in range(2)]
    decided = plan(queue, [], table, quotas, 0.0)
    assert set(decided.starts) == {"red0", "red1"}, "nobody else wants the second node"
    held: list[RunningJob] = [
        running(table, each, decided.starts[each.job_id].placements, at) for at, each in enumerate(queue)
    ]
    decided = plan([job("blue", 8, tenant="blue")], held, table, quotas, 50.0)
    (stopped,) = decided.preemptions
    assert stopped.job_id == "red1", "the borrower that started last"
    assert "borrows" in stopped.reason
    assert decided.starts["blue"].after == ("red1",)
    assert not plan([job("red9", 8, tenant="red")], held, table, quotas, 50.0).preemptions


def test_a_tenant_that_may_not_borrow_waits_and_is_told() -> None:
    strict = Quota(nominal=Resources(gpus=8), borrow=False)
    decided = plan(
        [job("a", 8, tenant="red"), job("b", 2, tenant="red", submitted_s=1)],
        [],
        nodes(2),
        options(red=strict),
        5.0,
    )
    assert set(decided.starts) == {"a"}
    assert decided.waits["b"].reason == "quota"
    assert decided.waits["b"].missing == 2
    assert "'red' would be 2 GPUs over its quota" in decided.waits["b"].sentence


def test_a_ceiling_bounds_borrowing() -> None:
    capped = Quota(nominal=Resources(gpus=4), ceiling=Resources(gpus=8))
    queue = [job(f"r{at}", 4, tenant="red", submitted_s=at) for at in range(3)]
    decided = plan(queue, [], nodes(2), options(red=capped), 5.0)
    assert set(decided.starts) == {"r0", "r1"}
    assert decided.waits["r2"].reason == "quota"


def test_an_unknown_resource_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="use one of"):
        Quota(nominal=Resources(gpus=1), limited=("gpu",))
