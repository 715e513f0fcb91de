"""Who may be picked."""

from random import Random

import pytest

from steelyard.cluster.membership import Membership, ReplicaState
from steelyard.model.errors import NoEligibleReplica
from steelyard.model.fleet import Replica
from steelyard.model.request import Request
from steelyard.policies.failure.outlier import OutlierDetector
from steelyard.policies.routing.random_choice import RandomChoice
from steelyard.routing.router import RoutedPool, Router

HEALTHY, UNHEALTHY, DRAINING = ReplicaState.HEALTHY, ReplicaState.UNHEALTHY, ReplicaState.DRAINING
NOBODY: frozenset[int] = frozenset()


def fleet(*states: ReplicaState, models: tuple[str, ...] = ()) -> tuple[Membership, Router]:
    membership = Membership()
    replicas = [Replica(replica_id=f"r{n}", base_url="http://h", models=models) for n in range(len(states))]
    membership.apply(replicas, states)
    pool = RoutedPool(
        name="default", policy=RandomChoice(Random(1)), outliers=OutlierDetector(consecutive_failures=1)
    )
    return membership, Router(membership, [pool], Random(1))


def picked(router: Router, tried: frozenset[int] = NOBODY, now_s: float = 0.0, model: str = "") -> set[int]:
    return {router.route("default", Request(model=model), tried, now_s).slot for _ in range(200)}


def test_neither_unhealthy_nor_draining_nor_tried() -> None:
    _, router = fleet(HEALTHY, UNHEALTHY, DRAINING, HEALTHY, HEALTHY)
    assert picked(router) == {0, 3, 4}
    assert picked(router, tried=frozenset({0, 3})) == {4}
    assert router.has_other("default", Request(), frozenset({0}), 0.0)
    assert not router.has_other("default", Request(), frozenset({0, 3, 4}), 0.0)


def test_with_nobody_healthy_left_the_doubtful_are_tried_but_never_the_draining() -> None:
    _, router = fleet(UNHEALTHY, UNHEALTHY, DRAINING)
    assert picked(router) == {0, 1}


def test_says_why_nobody_can_serve() -> None:
    _, router = fleet(DRAINING, DRAINING)
    with pytest.raises(NoEligibleReplica, match=r"r0: draining, r1: draining") as caught:
        router.route("default", Request(model="m"), NOBODY, 0.0)
    assert caught.value.http_status == 503


def test_an_unknown_model_is_the_callers_mistake() -> None:
    _, router = fleet(HEALTHY, models=("llama",))
    assert picked(router, model="llama") == {0}
    with pytest.raises(NoEligibleReplica) as caught:
        router.route("default", Request(model="bogus"), NOBODY, 0.0)
    assert caught.value.http_status == 404


def test_an_ejected_replica_comes_back_when_its_time_is_over() -> None:
    _, router = fleet(HEALTHY, HEALTHY, HEALTHY)
    router.report_failure(0, 0.0)
    assert picked(router, now_s=0.5) == {1, 2}
    assert picked(router, now_s=1.5) == {0, 1, 2}


def test_what_clients_name_is_kept_within_a_bound() -> None:
    _, router = fleet(HEALTHY)
    for number in range(5_000):
        router.route("default", Request(model=f"bogus-{number}"), NOBODY, 0.0)
    assert len(router._pools["default"].candidates) <= 1024


def test_a_change_of_state_is_seen_at_the_next_pick() -> None:
    membership, router = fleet(HEALTHY, HEALTHY)
    assert picked(router) == {0, 1}
    membership.apply(membership.replicas[:], [HEALTHY, DRAINING])
    assert picked(router) == {0}
