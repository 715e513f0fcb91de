"""Other systems' prefix-aware policies, each against a case worked out by hand."""

from collections import Counter
from random import Random

import pytest
from tests.harness.fleets import fleet_of

from steelyard.model.fleet import Eligible
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.routing.registry import POLICIES
from steelyard.policies.routing.vllm_smetric import VllmSmetric

BASELINES = [
    "lmetric",
    "dynamo-cost",
    "dynamo-cost-32",
    "sglang-cache-aware",
    "aibrix-prefix-cache",
    "inference-extension",
    "production-stack-load-aware",
]


def hashes(*blocks: int) -> tuple[int, ...]:
    """What chained hashes look like: all bits differ."""
    return tuple(block * 0x9E3779B97F4A7C15 & (1 << 64) - 1 for block in blocks)


PROMPT = Request(prompt_tokens=1024, prefix_hashes=hashes(1, 2, 3, 4), prefix_block_tokens=256)


def chosen(name: str, *loads: int, holder: int, prompt: Request = PROMPT) -> set[int]:
    """Whom a policy picks over many seeds, when one replica was sent the prompt before."""
    picked = set()
    for seed in range(30):
        policy = POLICIES[name](Random(seed))
        policy.pick(PROMPT, Eligible.of([holder]), fleet_of(*[0] * len(loads)), 0.0)
        picked.add(policy.pick(prompt, Eligible.of(range(len(loads))), fleet_of(*loads), 0.0).slot)
    return picked


@pytest.mark.parametrize("name", BASELINES)
def test_goes_back_to_the_holder_of_its_prefix(name: str) -> None:
    assert chosen(name, 1, 1, 1, holder=2) == {2}


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"inference-extension"}))
def test_a_holder_that_is_far_busier_is_left(name: str) -> None:
    assert 2 not in chosen(name, 1, 1, 90, holder=2)


@pytest.mark.parametrize("name", BASELINES)
def test_says_how_much_it_believes_to_be_cached(name: str) -> None:
    policy, fleet, eligible = POLICIES[name](Random(1)), fleet_of(0, 0), Eligible.of(range(2))
    assert policy.pick(PROMPT, eligible, fleet, 0.0).matched_tokens == 0
    assert policy.pick(PROMPT, eligible, fleet, 0.0).matched_tokens == 1024


@pytest.mark.parametrize("name", BASELINES)
def test_new_prompts_are_spread_over_idle_equals(name: str) -> None:
    policy, fleet, eligible = POLICIES[name](Random(1)), fleet_of(0, 0, 0), Eligible.of(range(3))
    counts = Counter(
        policy.pick(
            Request(prompt_tokens=512, prefix_hashes=hashes(n, 10_000 + n)), eligible, fleet, 0.0
        ).slot
        for n in range(1, 3_001)
    )
    # 3,000 fair picks of 3: 6 sigma is 155.
    assert all(abs(counts[slot] - 1_000) < 155 for slot in range(3)), counts


def test_sglang_wants_more_than_half_of_the_prompt() -> None:
    half = Request(
        prompt_tokens=2048, prefix_hashes=hashes(1, 2, 3, 4, 9, 10, 11, 12), prefix_block_tokens=256
    )
    assert chosen("sglang-cache-aware", 0, 5, 5, holder=2, prompt=half) == {0}
    over = Request(prompt_tokens=2047, prefix_hashes=hashes(1, 2, 3, 4, 9, 10, 11), prefix_block_tokens=256)
    assert chosen("sglang-cache-aware", 0, 5, 5, holder=2, prompt=over) == {2}


def test_sglang_drops_affinity_above_both_bounds() -> None:
    assert chosen("sglang-cache-aware", 1, 33, holder=1) == {1}
    assert chosen("sglang-cache-aware", 1, 34, holder=1) == {0}


def test_aibrix_drops_affinity_above_eight() -> None:
    assert chosen("aibrix-prefix-cache", 1, 2, 2, 2, 2, 2, 2, 2, 2, holder=3) == {3}
    assert chosen("aibrix-prefix-cache", 0, 9, holder=1) == {0}


def test_dynamo_weighs_prompts_by_its_scale() -> None:
    # Slot 0: 100 queued prompt tokens and 10 of output; slot 1: none queued, 4,000 of output expected.
    request, eligible = Request(prompt_tokens=256), Eligible.of(range(2))
    fleet = fleet_of(1, 0)
    fleet.output_tokens[1] = 4_000
    assert POLICIES["dynamo-cost"](Random(1)).pick(request, eligible, fleet, 0.0).slot == 0
    fleet.output_tokens[1] = 2_000
    assert POLICIES["dynamo-cost"](Random(1)).pick(request, eligible, fleet, 0.0).slot == 0
    # 100 · 32 + 10 > 2,000, in blocks of 256 on both sides.
    assert POLICIES["dynamo-cost-32"](Random(1)).pick(request, eligible, fleet, 0.0).slot == 1


def test_lmetric_is_a_product() -> None:
    # (queued + 512) · (requests + 1): slot 0 has 100 queued and one request, slot 1 1,000 queued and none.
    fleet = fleet_of(1, 0)
    fleet.queued_prompt_tokens[:] = [100, 1_000]
    request, eligible = Request(prompt_tokens=512), Eligible.of(range(2))
    assert POLICIES["lmetric"](Random(1)).pick(request, eligible, fleet, 0.0).slot == 0  # 1,224 < 1,512
    fleet.queued_prompt_tokens[:] = [300, 1_000]
    assert POLICIES["lmetric"](Random(1)).pick(request, eligible, fleet, 0.0).slot == 1  # 1,624 > 1,512


def test_the_inference_extension_leaves_a_holder_only_when_its_queue_and_its_cache_are_full() -> None:
    # The longest queue costs it 2, its prefix is worth 3; a full cache costs another 2.
    assert chosen("inference-extension", 1, 1, 90, holder=2) == {2}
    policy, fleet = POLICIES["inference-extension"](Random(1)), fleet_of(1, 1, 90)
    fleet.kv_capacity_tokens[:] = [1_000] * 3
    policy.pick(PROMPT, Eligible.of([2]), fleet, 0.0)
    assert policy.pick(PROMPT, Eligible.of(range(3)), fleet, 0.0).slot != 2


def test_production_stack_follows_the_prefix_whatever_the_load() -> None:
    assert chosen("production-stack-prefix", 1, 1, 90, holder=2) == {2}
    assert chosen("production-stack-prefix", 1, 1, holder=1, prompt=Request(prompt_tokens=10)) == {0, 1}


def test_prefix_hash_keeps_a_beginning_in_one_place_until_it_is_too_busy() -> None:
    policy, fleet, eligible = POLICIES["prefix-hash"](Random(1)), fleet_of(0, 0, 0, 0), Eligible.of(range(4))
    homes = {policy.pick(PROMPT, eligible, fleet, 0.0).slot for _ in range(20)}
    (home,) = homes
    other_end = Request(prompt_tokens=1024, prefix_hashes=hashes(1, 77, 78), prefix_block_tokens=256)
    assert policy.pick(other_end, eligible, fleet, 0.0).slot == home
    fleet.requests[home] = 10
    assert policy.pick(PROMPT, eligible, fleet, 0.0).slot != home
    assert len({policy.pick(Request(), eligible, fleet, 0.0).slot for _ in range(50)}) == 4


def test_preble_exploits_what_is_mostly_cached_and_explores_else() -> None:
    policy, fleet, eligible = POLICIES["preble-e2"](Random(1)), fleet_of(0, 0, 0), Eligible.of(range(3))
    home = policy.pick(PROMPT, eligible, fleet, 0.0)
    assert home.reason == "explore"
    # The others have less work by now, but half of the load at least is on nobody: the prefix is replicated.
    assert policy.pick(PROMPT, eligible, fleet, 0.0).slot != home.slot
    for slot in eligible.slots:
        policy.pick(PROMPT, Eligible.of([slot]), fleet, 0.0)
    again = policy.pick(PROMPT, eligible, fleet, 0.0)
    assert (again.reason, again.matched_tokens) == ("exploit", 1024)
    # After the window nothing of it is load any more.
    policy.pick(PROMPT, eligible, fleet, 1000.0)
    assert max(policy._work.values()) < 1024  # type: ignore[attr-defined]  # the bound that is tested is inside


def test_production_stack_weighs_what_is_cached_against_load_above_the_mean() -> None:
    # Mean 10: a whole prompt cached is worth ten requests more than the mean, and no more.
    assert chosen("production-stack-load-aware", 4, 4, 22, holder=2) == {0, 1}
    assert chosen("production-stack-load-aware", 8, 8, 14, holder=2) == {2}


def smetric_on(*queued: int, heard_s: float) -> int:
    """Whom smetric picks for a known prompt, when its holder is the last and took so long for each prompt."""
    policy = VllmSmetric(Random(1))
    fleet = fleet_of(*[1] * len(queued))
    holder = len(queued) - 1
    for _ in range(8):
        pick = policy.pick(PROMPT, Eligible.of([holder]), fleet, 0.0)
        fresh = Pick(holder, "", matched_tokens=0)
        policy.observe_first_token(fresh, PROMPT, heard_s, fleet, 0.0)
    fleet.queued_prompt_tokens[:] = list(queued)
    pick = policy.pick(PROMPT, Eligible.of(range(len(queued))), fleet, 0.0)
    return pick.slot


def test_smetric_stays_while_the_objective_is_met_and_leaves_after() -> None:
    # 1,024 tokens in 0.1 s: 10,240 tokens a second, and 1.064 s are allowed.
    assert smetric_on(0, 0, 10_000, heard_s=0.1) == 2
    assert smetric_on(0, 20_000, 12_000, heard_s=0.1) == 0


def test_smetric_follows_the_prefix_before_it_knows_how_quick_anyone_is() -> None:
    assert chosen("vllm-smetric", 1, 1, 90, holder=2) == {2}
