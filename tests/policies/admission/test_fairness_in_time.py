"""What a flood does to another tenant's times, in virtual time: replicas of 32 places, real queue."""

from heapq import heappop, heappush
from random import Random

import pytest

from steelyard.policies.admission.fair_queue import FairQueue
from steelyard.policies.admission.registry import ORDERS
from steelyard.policies.admission.waiting import Waiting

PLACES = 32
SECONDS = 400.0


def quiet_p99_s(order: str, others: int, *, max_wait_s: float = 60.0) -> float:
    """The 99th percentile of a tenant that asks twice a second, beside `others` clients of another tenant
    that ask again as soon as they are answered. A request takes 0.5 to 1.5 s in its place."""
    rng, queue = Random(11), FairQueue(ORDERS[order], 4000)
    events: list[tuple[float, int, str, float]] = []  # when, number, what, since when
    number, free, took_s = 0, PLACES, list[float]()

    def add(when_s: float, what: str, since_s: float = 0.0) -> None:
        nonlocal number
        number += 1
        heappush(events, (when_s, number, what, since_s))

    def start(tenant: str, arrived_s: float, now_s: float) -> None:
        nonlocal free
        free -= 1
        add(now_s + rng.uniform(0.5, 1.5), f"end {tenant}", arrived_s)

    for _ in range(others):
        add(rng.uniform(0, 1), "ask other")
    add(5.0, "ask quiet")
    while events and (now := events[0][0]) < SECONDS:
        _, _, what, since_s = heappop(events)
        verb, _, tenant = what.partition(" ")
        if verb == "ask":
            if tenant == "quiet":
                add(now + rng.expovariate(2.0), "ask quiet")
            item = Waiting(tenant, 100.0, now + max_wait_s, payload=now)
            if free and not queue.waiting:
                queue.serve(tenant, item.priority, item.cost)
                start(tenant, now, now)
            elif queue.push(item, now) is not None and tenant == "other":
                add(now + 1.0, "ask other")
        else:
            free += 1
            if tenant == "quiet":
                took_s.append(now - since_s)
            else:
                add(now, "ask other")
        while free and (called := queue.pop(now)) is not None:
            start(called.tenant, float(str(called.payload)), now)
    took_s.sort()
    return took_s[int(len(took_s) * 0.99)]


@pytest.mark.parametrize("order", ["vtc", "dlpm"])
def test_a_flood_moves_a_quiet_tenants_p99_by_a_tenth_at_most(order: str) -> None:
    calm = quiet_p99_s(order, 20)  # room for everybody
    assert quiet_p99_s(order, 600) <= 1.1 * calm


def test_first_come_first_served_does_not_protect_it() -> None:
    assert quiet_p99_s("first-come", 600) > 5 * quiet_p99_s("first-come", 20)
