"""Slots in the order of what they have in flight."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from steelyard.model.fleet_order import FleetOrder


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=9), st.lists(st.tuples(st.integers(0, 8), st.booleans()))
)
def test_draws_one_of_the_least_whatever_moved(counts: list[int], moves: list[tuple[int, bool]]) -> None:
    order, rng = FleetOrder(counts), Random(1)
    for slot, more in moves:
        slot %= len(counts)
        counts[slot] = counts[slot] + 1 if more else max(0, counts[slot] - 1)
        order.moved(slot, counts[slot])
        assert (order.least, order.total) == (min(counts), sum(counts))
        assert counts[order.draw(rng)] == min(counts)


def test_equals_are_drawn_alike() -> None:
    order, rng = FleetOrder([1, 0, 0, 0, 2]), Random(7)
    drawn = Counter(order.draw(rng) for _ in range(9_000))
    # Five sigma of a third of 9,000 draws is 224.
    assert set(drawn) == {1, 2, 3}
    assert all(abs(count - 3_000) < 300 for count in drawn.values())
