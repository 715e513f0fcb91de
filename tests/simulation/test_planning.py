"""The fewest replicas that hold an objective."""

import random

import pytest

from steelyard.engines.profiles import EngineProfile
from steelyard.policies.routing.registry import POLICIES
from steelyard.reports.objectives import Objective
from steelyard.simulation.oracle import Oracle
from steelyard.simulation.page import hits_over_time
from steelyard.simulation.planning import fewest_replicas
from steelyard.simulation.report import SimulationReport
from steelyard.simulation.trial import try_policy
from steelyard.traces.generators import shared_prefix_groups
from steelyard.traces.request import TraceRequest

QUICK = EngineProfile(
    name="quick", summary="", step_s=0.01, sequence_s=0.001, prefill_token_s=0.0001, kv_tokens=50_000
)
LOAD = [TraceRequest(arrival_s=0.02 * at, prompt_tokens=800, output_tokens=20) for at in range(400)]


def run(replicas: int) -> SimulationReport:
    return try_policy(
        "least-requests",
        POLICIES["least-requests"],
        [QUICK] * replicas,
        LOAD,
        seed=1,
        objective=Objective(ttft_s=0.5, tpot_s=0.1),
        samples=0,
    ).report


def test_finds_the_size_that_trying_all_finds() -> None:
    first = next(replicas for replicas in range(1, 40) if run(replicas).goodput_share >= 0.99)
    plan = fewest_replicas(run, 0.99, most=40)
    assert plan.fewest == first > 2
    assert list(plan.curve) == sorted(plan.curve)
    assert {first, first - 1, first + 1} <= set(plan.curve)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_says_when_the_most_is_not_enough(most: int) -> None:
    plan = fewest_replicas(run, 0.99, most=most)
    assert plan.fewest is None
    assert max(plan.curve) == most


def test_the_oracle_sees_true_caches_and_the_default_comes_near_it() -> None:
    load = shared_prefix_groups(
        random.Random(1),
        groups=12,
        shared_tokens=2560,
        own_tokens=512,
        output_tokens=20,
        to_per_s=9,
        span_s=60,
    )
    trials = {
        name: try_policy(name, make, [QUICK] * 4, load, seed=1, objective=Objective())
        for name, make in (
            ("oracle", Oracle),
            ("prefix-ttft", POLICIES["prefix-ttft"]),
            ("random", POLICIES["random"]),
        )
    }
    oracle, default, chance = (trial.report for trial in trials.values())
    assert oracle.hit_share > chance.hit_share + 0.05
    assert default.hit_share > 0.97 * oracle.hit_share
    assert default.ttft_s.p90 < 1.3 * oracle.ttft_s.p90
    shares = [share for _, share in hits_over_time(trials["oracle"].answers)]
    assert 0 < max(shares) <= 1
    assert len(trials["oracle"].loads) == len(trials["oracle"].queues) >= 200
