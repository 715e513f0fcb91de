"""The picture of the replicas' caches."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.policies.prefix_index import PrefixIndex


def test_finds_the_longest_prefix_and_its_holders() -> None:
    index = PrefixIndex()
    index.insert(0, (1, 2, 3), 100)
    index.insert(1, (1, 2), 100)
    assert index.match((1, 2, 3, 4)) == (3, (0,))
    assert index.match((1, 2, 9)) == (2, (0, 1))
    assert index.match((9,)) == (0, ())
    assert index.matched_blocks(1, (1, 2, 3)) == 2


def test_a_replica_that_restarted_holds_nothing() -> None:
    index = PrefixIndex()
    index.insert(0, (1, 2), 100)
    index.forget(0)
    assert (index.match((1, 2)), len(index)) == ((0, ()), 0)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 50), min_size=1, max_size=6, unique=True))),
    st.integers(1, 8),
)
def test_no_share_grows_over_its_capacity(inserts: list[tuple[int, list[int]]], capacity: int) -> None:
    index = PrefixIndex()
    for slot, blocks in inserts:
        index.insert(slot, tuple(blocks), capacity)
    assert all(len(held) <= capacity for held in index._held.values())
    assert len(index) <= 4 * capacity
