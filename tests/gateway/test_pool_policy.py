"""The policy objects of a pool: who shares the index, and who has memory of its own."""

from random import Random

import pytest

from steelyard.config.schema import PoolOptions, ReplicaOptions
from steelyard.gateway.pool_policy import pool_policy
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.policies.routing.prefix_ttft import PrefixTtft
from steelyard.policies.routing.round_robin import RoundRobin
from steelyard.routing.shadow import Shadowed

REPLICAS = (ReplicaOptions(url="http://127.0.0.1:1"),)


@pytest.mark.parametrize("name", ["prefix-ttft", "lmetric", "sglang-cache-aware"])
def test_a_policy_with_an_index_uses_the_shared_one(name: str) -> None:
    shared = PrefixIndex()
    policy = pool_policy(PoolOptions(policy=name, replicas=REPLICAS), Random(1), shared)
    assert getattr(policy, "index", None) is shared


def test_a_policy_without_an_index_is_left_alone() -> None:
    policy = pool_policy(PoolOptions(policy="round-robin", replicas=REPLICAS), Random(1), PrefixIndex())
    assert isinstance(policy, RoundRobin)


def test_a_shadow_remembers_for_itself() -> None:
    shared = PrefixIndex()
    options = PoolOptions(policy="prefix-ttft", shadow="prefix-ttft", replicas=REPLICAS)
    policy = pool_policy(options, Random(1), shared)
    assert isinstance(policy, Shadowed)
    assert isinstance(policy.live, PrefixTtft)
    assert policy.live.index is shared
    assert getattr(policy._shadow, "index", None) is not shared
