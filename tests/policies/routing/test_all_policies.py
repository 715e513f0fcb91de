"""What every routing policy must hold to, whatever it is."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.fleets import fleet_of

from steelyard.model.fleet import Eligible
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.model.routing_policy import RoutingPolicy
from steelyard.policies.routing.registry import POLICIES, POLICY_SUMMARIES

NAMES = sorted(POLICIES)
HASHES = [tuple(block * 0x9E3779B97F4A7C15 & (1 << 64) - 1 for block in (n, 10 + n)) for n in (1, 2, 3)]
WEIGHTED = {"weighted-round-robin", "weighted-least-requests", "least-tokens", "hash-ring"}


def picks(policy: RoutingPolicy, count: int, slots: list[int], loads: list[int], keyed: bool) -> list[Pick]:
    fleet, eligible = fleet_of(*loads), Eligible.of(slots)
    requests = (
        Request(prompt_tokens=600, prefix_hashes=HASHES[n % 3], affinity_key=f"key-{n}" if keyed else "")
        for n in range(count)
    )
    return [policy.pick(request, eligible, fleet, float(at)) for at, request in enumerate(requests)]


@pytest.mark.parametrize("name", NAMES)
@given(
    loads=st.lists(st.integers(0, 50), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
    keyed=st.booleans(),
    data=st.data(),
)
def test_picks_an_eligible_replica_and_replays_from_its_seed(
    name: str, loads: list[int], seed: int, keyed: bool, data: st.DataObject
) -> None:
    slots = data.draw(st.lists(st.sampled_from(range(len(loads))), min_size=1, unique=True))
    first = picks(POLICIES[name](Random(seed)), 5, slots, loads, keyed)
    again = picks(POLICIES[name](Random(seed)), 5, slots, loads, keyed)
    assert all(pick.slot in slots for pick in first)
    assert first == again
    assert all(pick.reason for pick in first)


@pytest.mark.parametrize("name", NAMES)
def test_idle_equals_share_evenly_whatever_their_order(name: str) -> None:
    # 8,000 picks of 4: 5 sigma of a fair share is 194, so 300 cannot flake; a ring of 128 points a replica is
    # itself uneven by some 10 %, so keys get 900.
    slack = 900 if name == "hash-ring" else 300
    for slots in ([0, 1, 2, 3], [3, 2, 1, 0]):
        policy = POLICIES[name](Random(7))
        fleet, eligible = fleet_of(0, 0, 0, 0), Eligible.of(slots)
        counts = Counter(
            policy.pick(Request(prompt_tokens=10, affinity_key=f"k{n}"), eligible, fleet, 0.0).slot
            for n in range(8_000)
        )
        assert all(abs(counts[slot] - 2_000) < slack for slot in slots), counts


@pytest.mark.parametrize("name", sorted(WEIGHTED))
def test_weights_are_respected(name: str) -> None:
    policy = POLICIES[name](Random(7))
    fleet, eligible = fleet_of(0, 0, weights=(3.0, 1.0)), Eligible.of([0, 1])
    counts: Counter[int] = Counter()
    for number in range(4_000):
        pick = policy.pick(Request(prompt_tokens=10, affinity_key=f"k{number}"), eligible, fleet, 0.0)
        counts[pick.slot] += 1
        fleet.requests[pick.slot] += 1
        fleet.queued_prompt_tokens[pick.slot] += 10
    # The share of the heavy one is 3/4; the ring's arcs are uneven by some 10 %.
    assert 0.68 < counts[0] / 4_000 < 0.82


@pytest.mark.parametrize("name", ["least-requests", "weighted-least-requests", "least-tokens", "prefix-ttft"])
def test_finds_the_only_idle_replica(name: str) -> None:
    policy = POLICIES[name](Random(7))
    fleet, eligible = fleet_of(9, 8, 0, 7), Eligible.of(range(4))
    assert {policy.pick(Request(prompt_tokens=10), eligible, fleet, 0.0).slot for _ in range(50)} == {2}


@pytest.mark.parametrize("name", ["two-choices", "peak-ewma"])
def test_two_choices_never_pick_the_strictly_busiest(name: str) -> None:
    policy = POLICIES[name](Random(7))
    fleet, eligible = fleet_of(10, 900, 20), Eligible.of(range(3))
    assert all(policy.pick(Request(), eligible, fleet, 0.0).slot != 1 for _ in range(500))


def test_every_policy_says_what_it_does() -> None:
    assert set(POLICY_SUMMARIES) == set(POLICIES)
