"""What one policy promises beyond what all do."""

from collections import Counter
from random import Random

from tests.harness.fleets import fleet_of

from steelyard.model.fleet import Eligible
from steelyard.model.request import Request
from steelyard.policies.routing.hash_ring import NEVER_FULL, HashRing
from steelyard.policies.routing.peak_ewma import PeakEwma
from steelyard.policies.routing.prefix_ttft import PrefixTtft
from steelyard.policies.routing.sticky_session import StickySession
from steelyard.policies.routing.weighted_round_robin import WeightedRoundRobin


def test_smooth_round_robin_spreads_the_heavy_one_out() -> None:
    policy, fleet, eligible = (
        WeightedRoundRobin(Random(1)),
        fleet_of(0, 0, 0, weights=(5, 1, 1)),
        Eligible.of([0, 1, 2]),
    )
    turn = [policy.pick(Request(), eligible, fleet, 0.0).slot for _ in range(7)]
    assert Counter(turn) == {0: 5, 1: 1, 2: 1}
    assert (0, 0, 0, 0) not in zip(turn, turn[1:], turn[2:], turn[3:], strict=False)


def test_a_replica_that_leaves_moves_only_its_own_keys() -> None:
    keys = [f"key-{number}" for number in range(3_000)]
    fleet = fleet_of(*[0] * 10)

    def places(slots: list[int]) -> dict[str, int]:
        policy, eligible = HashRing(Random(1)), Eligible.of(slots)
        return {key: policy.pick(Request(affinity_key=key), eligible, fleet, 0.0).slot for key in keys}

    before, after = places(list(range(10))), places([0, 1, 2, 3, 4, 5, 6, 7, 8])
    assert all(after[key] == before[key] for key in keys if before[key] != 9)
    assert 0.05 < sum(place == 9 for place in before.values()) / len(keys) < 0.16


def test_a_hot_key_spills_over_at_the_load_factor() -> None:
    policy, fleet, eligible = HashRing(Random(1)), fleet_of(0, 0, 0, 0), Eligible.of(range(4))
    for _ in range(400):
        fleet.requests[policy.pick(Request(affinity_key="hot"), eligible, fleet, 0.0).slot] += 1
    # Nobody holds more than 1.25 times the mean, rounded up.
    assert max(fleet.requests) <= 126
    assert min(fleet.requests) > 0


def test_a_key_stays_at_home_while_its_replica_has_little_to_do() -> None:
    policy, fleet, eligible = HashRing(Random(1)), fleet_of(*[0] * 8), Eligible.of(range(8))
    home = policy.pick(Request(affinity_key="hot"), eligible, fleet, 0.0).slot
    # The bound alone would call one request in flight full: 1.25 · 2 / 8, rounded up.
    picks = []
    for _ in range(NEVER_FULL + 1):
        picks.append(policy.pick(Request(affinity_key="hot"), eligible, fleet, 0.0).slot)
        fleet.requests[picks[-1]] += 1
    assert picks[:NEVER_FULL] == [home] * NEVER_FULL
    assert picks[NEVER_FULL] != home


def test_a_session_stays_until_its_replica_goes_and_sessions_have_a_bound() -> None:
    policy, fleet = StickySession(Random(1), max_sessions=10), fleet_of(0, 0, 0)
    everyone = Eligible.of(range(3))
    home = policy.pick(Request(affinity_key="ann"), everyone, fleet, 0.0).slot
    assert all(policy.pick(Request(affinity_key="ann"), everyone, fleet, 0.0).slot == home for _ in range(20))
    others = Eligible.of([slot for slot in range(3) if slot != home])
    assert policy.pick(Request(affinity_key="ann"), others, fleet, 0.0).slot != home
    for number in range(1_000):
        policy.pick(Request(affinity_key=f"bogus-{number}"), everyone, fleet, 0.0)
    assert len(policy._places) == 10


def test_peak_ewma_believes_bad_news_at_once_and_forgets_it_slowly() -> None:
    policy, fleet, eligible = PeakEwma(Random(1)), fleet_of(0, 0), Eligible.of([0, 1])
    request = Request(prompt_tokens=100)
    for slot, ttft_s in ((0, 0.1), (1, 0.1), (1, 5.0)):
        pick = policy.pick(request, Eligible.of([slot]), fleet, 0.0)
        policy.observe_first_token(pick, request, ttft_s, fleet, 0.0)
    assert all(policy.pick(request, eligible, fleet, 1.0).slot == 0 for _ in range(50))
    # After ten time constants the old peak is nothing against one request in flight.
    fleet.requests[0] = 10
    policy.observe_first_token(
        policy.pick(request, Eligible.of([0]), fleet, 100.0), request, 0.1, fleet, 100.0
    )
    assert all(policy.pick(request, eligible, fleet, 100.0).slot == 1 for _ in range(50))


def test_the_default_goes_where_the_prefix_is_unless_that_replica_is_too_busy() -> None:
    policy, fleet, eligible = PrefixTtft(Random(1)), fleet_of(0, 0, 0, 0), Eligible.of(range(4))
    request = Request(
        prompt_tokens=2_048,
        prefix_hashes=tuple(block * 0x9E3779B97F4A7C15 & (1 << 64) - 1 for block in range(1, 9)),
        prefix_block_tokens=256,
    )
    home = policy.pick(request, eligible, fleet, 0.0)
    again = policy.pick(request, eligible, fleet, 0.0)
    assert (again.slot, again.reason, again.matched_tokens) == (home.slot, "prefix", 2_048)
    fleet.queued_prompt_tokens[home.slot], fleet.requests[home.slot] = 50_000, 5
    assert policy.pick(request, eligible, fleet, 0.0).slot != home.slot


def test_the_default_learns_who_is_fast_and_survives_lies() -> None:
    policy, fleet, eligible = PrefixTtft(Random(1)), fleet_of(0, 0), Eligible.of([0, 1])
    request = Request(prompt_tokens=1_000)
    now_s = 0.0
    for _ in range(30):
        for slot, ttft_s in ((0, 0.1), (1, 1.0)):
            pick = policy.pick(request, Eligible.of([slot]), fleet, now_s)
            now_s += ttft_s
            policy.observe_first_token(pick, request, ttft_s, fleet, now_s)
    assert all(policy.pick(request, eligible, fleet, now_s).slot == 0 for _ in range(50))
    for lie_s in (0.0, -1.0, 1e-12, 1e12):
        pick = policy.pick(request, Eligible.of([1]), fleet, now_s)
        policy.observe_first_token(pick, request, lie_s, fleet, now_s)
        policy.observe_finish(pick, request, lie_s, 100, 10**9, fleet, now_s)
    assert policy.pick(request, eligible, fleet, now_s).slot in (0, 1)


def test_the_default_looks_at_few_of_a_thousand() -> None:
    policy, fleet = PrefixTtft(Random(1)), fleet_of(*[3] * 1_000)
    pick = policy.pick(Request(prompt_tokens=100), Eligible.of(range(1_000)), fleet, 0.0)
    assert len(pick.candidates) <= 10


def test_the_default_sees_that_a_queue_has_been_worked_on() -> None:
    policy, fleet, eligible = PrefixTtft(Random(1)), fleet_of(0, 0), Eligible.of([0, 1])
    request = Request(prompt_tokens=1_000)
    # Both were sent 20,000 tokens, which are two seconds' work at first guess, one of them 1.5 s ago.
    for slot, sent_s in ((0, 10.0), (1, 11.5)):
        policy.pick(request, Eligible.of([slot]), fleet, sent_s)
        fleet.requests[slot], fleet.queued_prompt_tokens[slot] = 1, 20_000
    assert all(policy.pick(request, eligible, fleet, 11.5).slot == 0 for _ in range(20))


def test_the_default_puts_cold_prefixes_where_caches_were_filled_least() -> None:
    policy, fleet, eligible = PrefixTtft(Random(1)), fleet_of(0, 0, 0, 0), Eligible.of(range(4))
    counts = Counter(
        policy.pick(
            Request(prompt_tokens=512, prefix_hashes=(n * 0x9E3779B97F4A7C15 & (1 << 64) - 1,)),
            eligible,
            fleet,
            0.0,
        ).slot
        for n in range(1, 41)
    )
    assert set(counts.values()) == {10}


def test_a_longer_prompt_shuns_a_queue_more() -> None:
    """It would make all those wait who come while the queue and it are worked on."""

    def price_of_queue_s(prompt_tokens: int) -> float:
        policy, fleet = PrefixTtft(Random(1)), fleet_of(1, 1)
        fleet.queued_prompt_tokens[:] = [0, 4000]
        idle_s, queued_s = policy.pick(
            Request(prompt_tokens=prompt_tokens), Eligible.of([0, 1]), fleet, 0.0
        ).scores
        return queued_s - idle_s

    common_s, long_s, longest_s = (price_of_queue_s(tokens) for tokens in (500, 5_000, 50_000))
    assert common_s < long_s < longest_s
