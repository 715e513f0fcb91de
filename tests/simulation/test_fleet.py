"""A fleet in virtual time does what the gateway does, and the same again from the same seed."""

import math
import random
from collections import Counter

import pytest

from steelyard.engines.profiles import PROFILES, EngineProfile
from steelyard.policies.routing.registry import POLICIES
from steelyard.reports.objectives import Objective
from steelyard.simulation.answer import Answer
from steelyard.simulation.fleet import SimulatedFleet
from steelyard.simulation.report import summarise
from steelyard.traces.generator import generate_conversation
from steelyard.traces.request import TraceRequest

QUICK = EngineProfile(
    name="quick", summary="", step_s=0.01, sequence_s=0.0, prefill_token_s=0.0001, kv_tokens=10_000
)


def simulated(policy: str, requests: list[TraceRequest], replicas: int = 4, seed: int = 1) -> list[Answer]:
    rng = random.Random(seed)
    fleet = SimulatedFleet([QUICK] * replicas, POLICIES[policy](rng), rng, block_tokens=512)
    answers = fleet.run(requests)
    # Whatever was charged has been released.
    assert fleet.fleet.requests == [0] * replicas
    assert fleet.fleet.queued_prompt_tokens == [0] * replicas
    assert fleet.fleet.output_tokens == [0] * replicas
    return answers


def test_one_request_takes_what_its_engine_takes() -> None:
    request = TraceRequest(arrival_s=2.0, prompt_tokens=100, output_tokens=11)
    (answer,) = simulated("round-robin", [request], replicas=1)
    assert answer.ttft_s == pytest.approx(0.02)
    assert answer.tpot_s == pytest.approx(0.01)
    assert answer.end_s == pytest.approx(2.12)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_every_policy_serves_every_request_to_its_end(policy: str) -> None:
    requests = generate_conversation(150, random.Random(3), rate_per_s=40)
    answers = simulated(policy, requests)
    assert len(answers) == 150
    for answer in answers:
        assert not answer.refused or answer.prompt_tokens + answer.output_tokens > QUICK.kv_tokens
        assert answer.refused or answer.arrival_s < answer.first_s <= answer.end_s


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    requests = generate_conversation(200, random.Random(5), rate_per_s=40)
    assert repr(simulated("two-choices", requests)) == repr(simulated("two-choices", requests))
    assert repr(simulated("two-choices", requests)) != repr(simulated("two-choices", requests, seed=2))


def test_round_robin_gives_each_replica_its_turn() -> None:
    requests = generate_conversation(80, random.Random(5), rate_per_s=40)
    assert set(Counter(answer.slot for answer in simulated("round-robin", requests)).values()) == {20}


def test_the_default_finds_a_shared_prefix_again() -> None:
    # Eight conversations in turn, each of five blocks that come again: after the first round all is cached.
    requests = [
        TraceRequest(
            arrival_s=0.5 * at,
            prompt_tokens=5 * 512,
            output_tokens=4,
            prefix_blocks=tuple((at % 8) * 100 + block for block in range(5)),
        )
        for at in range(24)
    ]
    # 20 blocks are all that fit a replica's cache: 8 conversations of 5 blocks need two replicas' caches.
    answers = simulated("prefix-ttft", requests)
    assert all(answer.cached_tokens == 0 for answer in answers[:8])
    assert all(answer.cached_tokens == 5 * 512 - 1 for answer in answers[8:])


def test_a_request_larger_than_the_cache_is_refused_and_counts_as_a_miss() -> None:
    requests = [
        TraceRequest(arrival_s=0.0, prompt_tokens=QUICK.kv_tokens, output_tokens=1),
        TraceRequest(arrival_s=1.0, prompt_tokens=10, output_tokens=5),
    ]
    answers = simulated("least-requests", requests, replicas=2)
    report = summarise("least-requests", answers, 2, Objective())
    assert [answer.refused for answer in answers] == [True, False]
    assert (report.requests, report.refused, report.goodput_share) == (2, 1, 0.5)
    assert report.ttft_s.p99 == pytest.approx(0.011)


def test_samples_show_what_is_in_flight() -> None:
    rng = random.Random(1)
    fleet = SimulatedFleet([QUICK] * 2, POLICIES["round-robin"](rng), rng, block_tokens=512)
    seen: list[tuple[float, list[int]]] = []
    fleet.run(
        [TraceRequest(arrival_s=at, prompt_tokens=100, output_tokens=51) for at in (0.1, 0.2, 3.0)],
        sample_every_s=0.25,
        on_sample=lambda now_s: seen.append((now_s, list(fleet.fleet.requests))),
    )
    assert seen[:3] == [(0.0, [0, 0]), (0.25, [1, 1]), (0.5, [1, 1])]
    assert seen[-1] == (3.0, [0, 0])


def test_a_faster_engine_is_faster() -> None:
    requests = [TraceRequest(arrival_s=0.0, prompt_tokens=1000, output_tokens=100)]
    ends = []
    for name in ("llama2-70b-a100x4", "llama2-70b-h100x8"):
        rng = random.Random(1)
        fleet = SimulatedFleet([PROFILES[name]], POLICIES["random"](rng), rng, block_tokens=512)
        (answer,) = fleet.run(requests)
        ends.append(answer.end_s)
    assert not math.isnan(ends[1])
    assert ends[1] < ends[0]
