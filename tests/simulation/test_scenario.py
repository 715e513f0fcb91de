"""Replicas that fail, come back, slow down, drain and join."""

import random
from pathlib import Path

import pytest

from steelyard.engines.profiles import EngineProfile
from steelyard.model.errors import ConfigError
from steelyard.policies.routing.registry import POLICIES
from steelyard.simulation.answer import Answer
from steelyard.simulation.fleet import SimulatedFleet
from steelyard.simulation.scenario import Event, read_scenario
from steelyard.traces.request import TraceRequest

STEADY = EngineProfile(
    name="steady", summary="", step_s=1.0, sequence_s=0.0, prefill_token_s=0.0, kv_tokens=100_000
)


def simulated(
    arrivals: list[float], events: list[Event], policy: str = "round-robin", replicas: int = 2
) -> tuple[list[Answer], SimulatedFleet]:
    rng = random.Random(1)
    fleet = SimulatedFleet([STEADY] * replicas, POLICIES[policy](rng), rng, block_tokens=512)
    requests = [TraceRequest(arrival_s=at, prompt_tokens=10, output_tokens=4) for at in arrivals]
    answers = fleet.run(requests, events=events)
    assert set(fleet.fleet.requests) == set(fleet.fleet.queued_prompt_tokens) == {0}
    return answers, fleet


def test_what_waits_on_a_dying_replica_goes_elsewhere_and_what_had_begun_is_lost() -> None:
    # Two at once: one each. At 0.5 s neither has its first token; at 2.5 s both have.
    answers, _ = simulated([0.0, 0.0], [Event(at_s=0.5, what="fail", replica=0)])
    assert [(answer.lost, answer.attempts) for answer in sorted(answers, key=lambda a: a.attempts)] == [
        (False, 1),
        (False, 2),
    ]
    assert all(answer.slot == 1 for answer in answers)
    answers, _ = simulated([0.0, 0.0], [Event(at_s=2.5, what="fail", replica=0)])
    assert sorted(answer.lost for answer in answers) == [False, True]


def test_a_fleet_that_is_all_dead_refuses_unless_it_is_tried_anyway() -> None:
    events = [Event(at_s=1.0, what="drain", replica=0), Event(at_s=1.0, what="drain", replica=1)]
    answers, _ = simulated([2.0], events)
    assert [answer.refused for answer in answers] == [True]


def test_a_drained_replica_ends_what_it_has_and_gets_no_more() -> None:
    answers, _ = simulated([0.0, 0.0, 5.0, 6.0, 7.0], [Event(at_s=1.0, what="drain", replica=1)])
    assert {answer.slot for answer in answers[:2]} == {0, 1}
    assert {answer.slot for answer in answers[2:]} == {0}
    assert not any(answer.lost or answer.refused for answer in answers)


def test_a_replica_that_comes_back_is_another_one_with_an_empty_cache() -> None:
    events = [Event(at_s=1.0, what="fail", replica=0), Event(at_s=2.0, what="recover", replica=0)]
    answers, fleet = simulated([3.0, 4.0, 5.0, 6.0], events)
    assert {answer.slot for answer in answers} == {0, 1}
    assert fleet.fleet.generations[0] > fleet.fleet.generations[1]


def test_a_slow_replica_takes_longer_from_its_next_step_on() -> None:
    answers, _ = simulated([0.0], [Event(at_s=1.5, what="slow", replica=0, factor=10.0)], replicas=1)
    # Two steps of 1 s at the old speed, since the second is under way, then two of 10 s.
    assert answers[0].end_s == pytest.approx(22.0)


def test_one_that_joins_is_used() -> None:
    answers, fleet = simulated([0.0, 2.0, 3.0, 4.0], [Event(at_s=1.0, what="join")], replicas=1)
    assert len(fleet.engines) == 2
    assert {answer.slot for answer in answers} == {0, 1}


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_every_policy_gets_through_a_bad_day(policy: str) -> None:
    events = [
        Event(at_s=5.0, what="slow", replica=0, factor=3.0),
        Event(at_s=9.0, what="fail", replica=1),
        Event(at_s=20.0, what="join"),
        Event(at_s=25.0, what="recover", replica=1),
        Event(at_s=30.0, what="drain", replica=0),
    ]
    answers, _ = simulated([0.25 * at for at in range(200)], events, policy, replicas=3)
    assert sum(answer.end_s > 0 or answer.lost for answer in answers) == 200


def test_reads_a_scenario_in_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "day.toml"
    path.write_text(
        '[[event]]\nat_s = 9\nwhat = "drain"\nreplica = 2\n[[event]]\nat_s = 1.5\nwhat = "join"\n'
    )
    assert [event.what for event in read_scenario(path, 2)] == ["join", "drain"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[event]", "is no scenario"),
        ('[[event]]\nwhat = "fail"', "is no scenario"),
        ('[[event]]\nat_s = 1\nwhat = "explode"', "must be one of fail"),
        ('[[event]]\nat_s = -1\nwhat = "join"', "must be 0 or more"),
        ('[[event]]\nat_s = 1\nwhat = "fail"\nreplica = 7', "numbered from 0"),
        ('[[event]]\nat_s = 1\nwhat = "slow"\nreplica = 0\nfactor = 0', "above 0"),
        ('[[event]]\nat_s = 1\nwhat = "join"\nprofile = "gpu"', "llama2-70b"),
    ],
)
def test_says_what_is_wrong_with_a_scenario(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "day.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_scenario(path, 3)
