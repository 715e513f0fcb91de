"""smg's least_load, case by case: what was sent since a poll, the KV barrier, the rate, a new replica."""

from random import Random

import pytest
from tests.harness.fleets import fleet_of

from steelyard.model.fleet import Eligible, Fleet
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.routing.smg_least_load import POLL_S, SmgLeastLoad

BOTH = Eligible.of([0, 1])


def pick(policy: SmgLeastLoad, fleet: Fleet, now_s: float = 0.0, tokens: int = 1000) -> Pick:
    return policy.pick(Request(prompt_tokens=tokens), BOTH, fleet, now_s)


def test_what_was_sent_since_the_poll_counts() -> None:
    policy, fleet = SmgLeastLoad(Random(1)), fleet_of(0, 0)
    first = pick(policy, fleet, tokens=4000).slot
    assert [pick(policy, fleet).slot for _ in range(3)] == [1 - first] * 3
    # 4,000 against 3,000 tokens, at 2,000 a second.
    assert pick(policy, fleet, tokens=10).scores == (1.5,)


def test_a_poll_is_believed_for_its_interval() -> None:
    policy, fleet = SmgLeastLoad(Random(1)), fleet_of(0, 40)
    assert pick(policy, fleet, 0.0).slot == 0
    fleet.queued_prompt_tokens[:] = [9000, 0]
    assert pick(policy, fleet, POLL_S - 0.1).slot == 0
    assert pick(policy, fleet, POLL_S).slot == 1


@pytest.mark.parametrize(("used", "barrier_s"), [(0, 0.0), (5_000, 0.15), (9_000, 1.35), (20_000, 149.85)])
def test_a_full_kv_cache_is_a_barrier(used: int, barrier_s: float) -> None:
    policy, fleet = SmgLeastLoad(Random(1)), fleet_of(0)
    fleet.kv_capacity_tokens[0], fleet.output_tokens[0] = 10_000, used
    chosen = policy.pick(Request(), Eligible.of([0]), fleet, 0.0)
    assert chosen.scores[0] == pytest.approx(barrier_s)


def test_a_quicker_engine_drains_sooner() -> None:
    policy, fleet = SmgLeastLoad(Random(1)), fleet_of(40, 40)
    for tokens, slot in ((40_000, 0), (5_000, 1)):
        pick(policy, fleet)
        policy.observe_finish(Pick(slot, ""), Request(), 1.0, tokens, -1, fleet, 1.0)
    # 4,000 tokens each, at 4,000 and 500 a second.
    assert pick(policy, fleet, POLL_S).scores == (1.0,)


def test_a_new_replica_has_nothing_of_the_old_ones() -> None:
    policy, fleet = SmgLeastLoad(Random(1)), fleet_of(0, 0)
    slot = pick(policy, fleet, tokens=50_000).slot
    pick(policy, fleet, tokens=100)
    fleet.generations[slot] += 1
    assert pick(policy, fleet, 1.0).slot == slot
