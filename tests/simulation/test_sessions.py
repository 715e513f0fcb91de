"""Conversations: a turn waits for the answer before it, and then for its user to think."""

import random

import pytest

from steelyard.engines.profiles import EngineProfile
from steelyard.policies.routing.registry import POLICIES
from steelyard.simulation.answer import Answer
from steelyard.simulation.fleet import SimulatedFleet
from steelyard.traces.generators import poisson_times, sessions
from steelyard.traces.request import TraceRequest

SLOW = EngineProfile(
    name="slow", summary="", step_s=1.0, sequence_s=0.0, prefill_token_s=0.0, kv_tokens=100_000
)


def simulated(requests: list[TraceRequest], replicas: int = 1) -> list[Answer]:
    rng = random.Random(1)
    fleet = SimulatedFleet([SLOW] * replicas, POLICIES["round-robin"](rng), rng, requests[0].block_tokens)
    answers = fleet.run(requests)
    assert fleet.fleet.requests == [0] * replicas
    return answers


def turn(arrival_s: float, think_s: float, session: int = 1) -> TraceRequest:
    return TraceRequest(
        arrival_s=arrival_s, prompt_tokens=10, output_tokens=5, session=session, think_s=think_s
    )


def test_a_turn_comes_after_the_answer_and_the_thinking() -> None:
    answers = simulated([turn(0.0, 0.0), turn(1.0, 3.0), turn(2.0, 4.0)])
    # Five steps of a second each, then 3 and 4 s of thinking, though the trace had them sooner.
    assert [answer.arrival_s for answer in answers] == [0.0, 8.0, 17.0]
    assert answers[-1].end_s == 22.0


def test_a_turn_does_not_come_before_the_trace_says() -> None:
    assert [answer.arrival_s for answer in simulated([turn(0.0, 0.0), turn(30.0, 3.0)])] == [0.0, 30.0]


def test_thinking_begins_when_the_answer_ends() -> None:
    # The answer ends at 5 s: the trace wants the next turn at 6 s, but its user thinks for 3.
    assert [answer.arrival_s for answer in simulated([turn(0.0, 0.0), turn(6.0, 3.0)])] == [0.0, 8.0]


def test_sessions_do_not_wait_for_each_other() -> None:
    requests = [turn(0.0, 0.0, 1), turn(0.5, 0.0, 2), turn(1.0, 1.0, 1), turn(1.5, 1.0, 2), turn(2.0, 0.0, 0)]
    answers = simulated(requests, replicas=3)
    assert [answer.arrival_s for answer in answers] == [0.0, 0.5, 2.0, 6.0, 6.5]


def test_generated_sessions_are_served_to_the_last_turn_in_order() -> None:
    requests = sessions(random.Random(1), poisson_times(random.Random(2), 2.0), 120, think_s=5.0)
    answers = simulated(requests, replicas=4)
    assert len(answers) == len(requests) == 120
    arrivals = [answer.arrival_s for answer in answers]
    assert arrivals == sorted(arrivals)


def test_a_refused_turn_lets_the_next_one_come() -> None:
    refused = TraceRequest(arrival_s=0.0, prompt_tokens=200_000, output_tokens=5, session=1)
    answers = simulated([refused, turn(1.0, 2.0)])
    assert [answer.refused for answer in answers] == [True, False]
    assert answers[1].end_s == pytest.approx(7.0)
