"""The fair queue: bounded, fair, truthful, and it never forgets or invents a request."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.policies.admission.dlpm import DeficitLongestPrefixMatch
from steelyard.policies.admission.fair_queue import FairQueue
from steelyard.policies.admission.registry import ORDERS
from steelyard.policies.admission.vtc import VirtualTokenCounter
from steelyard.policies.admission.waiting import FairOrder, Waiting

EACH_ORDER = pytest.mark.parametrize("order", list(ORDERS.values()), ids=list(ORDERS))


def waiting(tenant: str, cost: float = 100.0, **fields: object) -> Waiting:
    return Waiting(tenant=tenant, cost=cost, **({"deadline_s": 1e9} | fields))  # type: ignore[arg-type]  # fields by name


def drain(queue: FairQueue, count: int, now_s: float = 0.0) -> list[Waiting]:
    items = [queue.pop(now_s) for _ in range(count)]
    return [item for item in items if item is not None]


@pytest.mark.parametrize("order", [VirtualTokenCounter, DeficitLongestPrefixMatch])
def test_a_flood_does_not_hold_up_a_quiet_tenant(order: Callable[[], FairOrder]) -> None:
    queue = FairQueue(lambda: order(), 2000)
    for _ in range(1000):
        assert queue.push(waiting("flood", cost=500), 0.0) is None
    for _ in range(10):
        assert queue.push(waiting("quiet", cost=500), 0.0) is None
    served = [item.tenant for item in drain(queue, 100)]
    # Turns for VTC; for DLPM within one quantum of 20,000, which is 40 of these requests.
    assert served.count("quiet") == 10
    last = max(index for index, tenant in enumerate(served) if tenant == "quiet")
    assert last <= (21 if order is VirtualTokenCounter else 60)


@pytest.mark.parametrize("order", [VirtualTokenCounter, DeficitLongestPrefixMatch])
def test_backlogged_tenants_get_tokens_by_their_weights(order: Callable[[], FairOrder]) -> None:
    rng, queue, tokens = Random(2), FairQueue(lambda: order(), 100_000), Counter[str]()
    weights = {"one": 1.0, "two": 2.0, "four": 4.0}
    for name, weight in weights.items():
        for _ in range(3000):
            queue.push(waiting(name, cost=rng.randrange(50, 2000), weight=weight), 0.0)
    for item in drain(queue, 3000):
        tokens[item.tenant] += int(item.cost)
    shares = [tokens[name] / weight for name, weight in weights.items()]
    # All stay backlogged: their weighted tokens differ by a quantum and a request at most.
    assert max(shares) - min(shares) <= 22_000


def test_vtc_gives_no_credit_for_idle_time() -> None:
    queue = FairQueue(VirtualTokenCounter, 1000)
    for _ in range(200):
        queue.serve("busy", 0, 1000)  # alone, without waiting
    for _ in range(20):
        queue.push(waiting("late"), 0.0)
        queue.push(waiting("busy"), 0.0)
    served = Counter(item.tenant for item in drain(queue, 20))
    assert abs(served["late"] - served["busy"]) <= 12  # one running request's worth, not an hour's


def test_vtc_corrects_what_a_request_really_cost() -> None:
    queue = FairQueue(VirtualTokenCounter, 1000)
    for _ in range(50):
        queue.push(waiting("long"), 0.0)
        queue.push(waiting("short"), 0.0)
    served = Counter[str]()
    for _ in range(60):
        item = queue.pop(0.0)
        assert item is not None
        served[item.tenant] += 1
        queue.settle(item, 300 if item.tenant == "long" else 100)
    assert 2.5 <= served["short"] / served["long"] <= 3.5


def test_dlpm_prefers_what_is_cached_within_fair_shares() -> None:
    queue = FairQueue(lambda: DeficitLongestPrefixMatch(1000), 1000)
    for index in range(40):
        queue.push(waiting("cached", cost=100, cached_tokens=500 + index), 0.0)
        queue.push(waiting("cold", cost=100), 0.0)
    served = drain(queue, 40)
    assert [item.cached_tokens for item in served[:10]] == list(range(539, 529, -1))
    counts = Counter(item.tenant for item in served)
    assert abs(counts["cached"] - counts["cold"]) <= 11  # a quantum is ten requests


@EACH_ORDER
def test_a_higher_class_goes_first(order: Callable[[], FairOrder]) -> None:
    queue = FairQueue(order, 100)
    for priority in (2, 0, 1, 0, 2):
        queue.push(waiting("t", priority=priority), 0.0)
    assert [item.priority for item in drain(queue, 5)] == [0, 0, 1, 2, 2]


@EACH_ORDER
def test_no_class_starves(order: Callable[[], FairOrder]) -> None:
    queue = FairQueue(order, 1000)
    for number in range(300):
        queue.push(waiting("t", priority=0 if number % 10 else 2), 0.0)
    served = [item.priority for item in drain(queue, 160)]
    assert [at for at, priority in enumerate(served) if priority == 2] == list(range(15, 160, 16))


@EACH_ORDER
def test_who_is_put_back_has_taken_no_turn(order: Callable[[], FairOrder]) -> None:
    queue = FairQueue(order, 1000)
    for priority in (0, 0, 0, 2):
        queue.push(waiting("t", priority=priority), 0.0)
    for _ in range(100):
        (item,) = drain(queue, 1)
        assert item.priority == 0
        queue.put_back(item)
    assert [item.priority for item in drain(queue, 4)] == [0, 0, 0, 2]


def test_a_flood_cannot_fill_the_queue() -> None:
    queue = FairQueue(VirtualTokenCounter, 900)
    let_in = sum(queue.push(waiting("flood"), 0.0) is None for _ in range(5000))
    assert let_in == 800  # 8/9
    assert all(queue.push(waiting(f"t{index}"), 0.0) is None for index in range(50))
    assert queue.waiting <= 900


def serve_at(rate_per_s: float, queue: FairQueue, seconds: float, start_s: float) -> float:
    now_s = start_s
    while now_s < start_s + seconds:
        now_s += 1 / rate_per_s
        queue.pop(now_s)
    return now_s


@EACH_ORDER
def test_who_could_not_be_served_in_time_is_told_at_once_and_when_to_come_again(
    order: Callable[[], FairOrder],
) -> None:
    queue = FairQueue(order, 10_000)
    for _ in range(200):
        queue.push(waiting("t"), 0.0)
    now_s = serve_at(20, queue, 5.0, 0.0)  # 100 are left, at 20 a second: 5 s of waiting
    assert queue.push(waiting("t", deadline_s=now_s + 6.0), now_s) is None
    refusal = queue.push(waiting("t", deadline_s=now_s + 2.0), now_s)
    assert refusal is not None
    assert not refusal.full
    assert refusal.retry_after_s == pytest.approx(3.0, rel=0.15)
    now_s = serve_at(20, queue, refusal.retry_after_s * 1.15, now_s)
    assert queue.push(waiting("t", deadline_s=now_s + 2.0), now_s) is None


def test_those_whose_deadline_passed_come_out_once_and_are_not_served() -> None:
    queue = FairQueue(VirtualTokenCounter, 100)
    items = [waiting("t", deadline_s=float(index)) for index in range(10)]
    for item in items:
        queue.push(item, -1.0)
    assert list(queue.expired(4.5)) == items[:5]
    assert list(queue.expired(4.5)) == []
    assert drain(queue, 20) == items[5:]


@EACH_ORDER
def test_memory_is_bounded_when_clients_come_and_leave(order: Callable[[], FairOrder]) -> None:
    queue = FairQueue(order, 100)
    for index in range(20_000):
        item = waiting(f"tenant {index}")
        assert queue.push(item, 0.0) is None
        queue.cancel(item)
    assert queue.waiting == 0
    assert len(queue._deadlines) < 400
    held = getattr(queue._classes[0], "_tenants", ())
    assert len(held) <= 10_000


@EACH_ORDER
@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["push", "push", "pop", "cancel", "expire", "settle", "back"]),
            st.integers(0, 30),
        ),
        max_size=120,
    )
)
def test_every_request_comes_out_exactly_once(
    order: Callable[[], FairOrder], steps: list[tuple[str, int]]
) -> None:
    queue, held, out, now_s = FairQueue(order, 20), list[Waiting](), list[Waiting](), 0.0
    for what, number in steps:
        now_s += 0.01
        if what == "push":
            item = waiting(f"t{number % 4}", cost=1 + number, priority=number % 2, deadline_s=now_s + number)
            if queue.push(item, now_s) is None:
                held.append(item)
        elif what in ("pop", "back"):
            popped = queue.pop(now_s)
            assert (popped is None) == (not held)
            if popped is not None and what == "back":
                queue.put_back(popped)
            elif popped is not None:
                held.remove(popped)
                out.append(popped)
        elif what == "cancel" and held:
            queue.cancel(held.pop(number % len(held)))
        elif what == "expire":
            for item in queue.expired(now_s):
                held.remove(item)
        elif what == "settle" and out:
            queue.settle(out.pop(), float(number))
        assert queue.waiting == len(held)
    rest = drain(queue, len(held) + 1)
    assert sorted(map(id, rest)) == sorted(map(id, held))
