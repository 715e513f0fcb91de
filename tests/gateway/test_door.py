"""The door of a pool whose replicas can be full: who goes in, who waits, who is sent away."""

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tests.harness.fleets import fleet_of

from steelyard.config.access import AdmissionOptions, TenantOptions
from steelyard.gateway import door
from steelyard.gateway.admission import Admission
from steelyard.gateway.door import Door
from steelyard.gateway.tenants import Tenant, build_tenants, subjects
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.admission.limiter import ROW_WORDS, Limiter
from steelyard.runtime.limit_page import LimitPage, SlotTable

# Compiled, the door takes nothing but real exchanges; end_to_end/test_tenants.py shows it to them.
pytestmark = pytest.mark.skipif(
    str(door.__file__).endswith(".so"), reason="the door is compiled: `make pure` to run this"
)


class OneReplica:
    """A router over a single slot, unless it was excluded."""

    def route(self, pool: str, request: Request, tried: frozenset[int], now_s: float) -> Pick:
        assert 0 not in tried
        return Pick(0, "the only one")

    def has_other(self, pool: str, request: Request, tried: frozenset[int], now_s: float) -> bool:
        return 0 not in tried

    def slots(self, pool: str) -> list[int]:
        return [0]


class Scene:
    """A door with its fleet, and requests that come and go."""

    def __init__(self, **options: Any) -> None:
        self.fleet = fleet_of(0)
        self.later: list[Callable[[], None]] = []
        router: Any = OneReplica()
        settings = AdmissionOptions(**options)
        self.door = Door(settings, router, self.fleet, None, lambda _, call: self.later.append(call))
        self.tenants: dict[str, Tenant] = {}

    def come(self, tenant: str) -> Any:
        """A request: `.pick` says whether it went in, `.status` whether it was sent away."""
        if tenant not in self.tenants:
            limiter = Limiter(own=[0] * ROW_WORDS, now_s=0.0)
            self.tenants[tenant] = Tenant(TenantOptions(name=tenant), limiter, {})
        exchange: Any = SimpleNamespace(
            admission=Admission(self.tenants[tenant], 0, self.door),
            request=Request(model="m", prompt_tokens=10, output_tokens=10),
            tried=frozenset(), pick=None, status=0, pool_name="p", id_line=b"",
            context=SimpleNamespace(draining=False),
            started_s=1.0,
            plan=SimpleNamespace(keep_alive=True, is_head=False, head=SimpleNamespace(timeout_s=0.0)),
        )  # fmt: skip

        def forward(now_s: float) -> None:
            exchange.pick = self.door.route(exchange, now_s)
            self.fleet.requests[0] += exchange.pick is not None

        def answer_locally(data: bytes, status: int) -> None:
            exchange.status = status

        exchange.forward, exchange.answer_locally = forward, answer_locally
        forward(1.0)
        return exchange

    def again(self, exchange: Any) -> None:
        """Its engine was busy: after a pause the same pool is tried anew."""
        self.fleet.requests[0] -= 1
        exchange.pick = None
        exchange.forward(1.5)

    def leave(self, exchange: Any) -> None:
        """It ends, and the next one's turn is called."""
        self.fleet.requests[0] -= 1
        admission, exchange.admission = exchange.admission, None
        self.door.left(admission, (10, 10))
        self.door.call(2.0)


def inside(*requests: Any) -> list[bool]:
    return [each.pick is not None for each in requests]


def test_who_finds_it_full_waits_and_goes_in_when_a_place_comes_free() -> None:
    scene = Scene(max_in_flight=4)
    first = [scene.come("a") for _ in range(4)]
    late = [scene.come("a") for _ in range(2)]
    assert inside(*first, *late) == [True] * 4 + [False] * 2
    scene.leave(first[0])
    assert inside(*late) == [True, False]
    assert scene.door.waiting == 1


def test_turns_go_round_between_tenants() -> None:
    scene = Scene(max_in_flight=4)
    first = [scene.come("flood") for _ in range(4)]
    flood = [scene.come("flood") for _ in range(20)]
    quiet = scene.come("quiet")
    scene.leave(first[0])
    scene.leave(first[1])
    assert inside(quiet) == [True]
    assert sum(inside(*flood)) == 1


def test_the_last_places_are_for_tenants_that_hold_few() -> None:
    scene = Scene(max_in_flight=20, headroom_fraction=0.1)
    flood = [scene.come("flood") for _ in range(30)]
    assert sum(inside(*flood)) == 18
    quiet = scene.come("quiet")  # others wait: it waits with them, until the next look
    scene.door.call(1.0)
    assert inside(quiet) == [True]
    assert sum(inside(*flood)) == 18
    scene.leave(quiet)
    assert sum(inside(*flood)) == 18
    scene.leave(flood[0])
    assert sum(inside(*flood)) == 19  # one of them has left


def test_a_retry_does_not_wait_again() -> None:
    scene = Scene(max_in_flight=4)
    first = [scene.come("a") for _ in range(4)]
    first[0].tried = frozenset([7])
    first[0].forward(1.0)
    assert inside(first[0]) == [True]


def test_a_full_queue_sends_away() -> None:
    scene = Scene(max_in_flight=4, max_waiting=9)
    statuses = [scene.come("a").status for _ in range(20)]
    assert statuses == [0] * 12 + [429] * 8


@pytest.mark.parametrize("order", ["vtc", "dlpm", "first-come"])
def test_nobody_is_forgotten(order: str) -> None:
    scene = Scene(max_in_flight=4, order=order)
    requests = [scene.come(f"t{index % 3}") for index in range(60)]
    served = 0
    while running := [each for each in requests if each.pick is not None and each.admission is not None]:
        scene.leave(running[0])
        served += 1
    assert served == 60
    assert scene.door.waiting == 0
    assert scene.fleet.requests == [0]


def test_a_second_try_in_the_same_pool_takes_no_second_place_and_waits_no_second_turn() -> None:
    scene = Scene(max_in_flight=2, headroom_fraction=0.5)
    busy, other = scene.come("a"), scene.come("b")
    waiting = scene.come("c")
    assert inside(busy, other, waiting) == [True, True, False]
    for _ in range(5):
        scene.again(busy)
    assert busy.pick is not None
    assert busy.admission.item is None
    scene.leave(busy)
    scene.leave(other)
    assert inside(waiting) == [True]
    scene.leave(waiting)
    # Every tenant's places are free again: none is held back as if it still had some.
    assert set(scene.door._running.values()) == {0}


def test_a_request_that_is_tried_in_another_pool_gives_its_place_back() -> None:
    scene = Scene(max_in_flight=2)
    gone = scene.come("a")
    scene.door.step_out(gone.admission)
    scene.leave(gone)
    assert scene.door._running == {"a": 0}


def test_turns_are_fair_over_workers() -> None:
    """A tenant that waits at two doors gets no more of both than one that waits at the first only."""
    page, options = LimitPage.create(2), [TenantOptions(name="both"), TenantOptions(name="one")]
    slots = SlotTable().assign(subjects(options, ["p"]))
    rows = [page.row(0), page.row(1)]
    doors = [Scene(max_in_flight=1, headroom_fraction=0.0, max_wait_s=1e9) for _ in rows]
    for number, scene in enumerate(doors):
        scene.tenants = build_tenants(options, slots, rows[number], [rows[1 - number]], 1.0)
    served: Counter[str] = Counter()
    waiting = [[scene.come("both") for _ in range(60)] for scene in doors]
    waiting[0] += [doors[0].come("one") for _ in range(60)]
    for _ in range(40):
        for scene, requests in zip(doors, waiting, strict=True):
            for limiter in scene.tenants["one"].unpublished:
                limiter.publish()
            scene.tenants["one"].unpublished.clear()
            for look in scene.later[:]:
                scene.later.remove(look)
                look()
            running = next(each for each in requests if each.pick is not None)
            requests.remove(running)
            served[
                next(name for name, each in scene.tenants.items() if each is running.admission.tenant)
            ] += 1
            scene.leave(running)
    assert served["both"] + served["one"] == 80
    assert abs(served["both"] - served["one"]) <= 6  # each for itself, the doors would give 60 and 20
