"""The picture of the replicas' caches."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.policies.prefix_index import MAX_SLOTS, PrefixIndex

MIX, ALL_BITS = 0x9E3779B97F4A7C15, (1 << 64) - 1


def hashes(*blocks: int) -> tuple[int, ...]:
    """What chained hashes look like: all bits differ."""
    return tuple(block * MIX & ALL_BITS for block in blocks)


def send(index: PrefixIndex, slot: int, prompt: tuple[int, ...], capacity: int = 1000) -> None:
    index.insert(slot, prompt, capacity, index.held(slot, prompt))


def test_knows_how_much_of_a_prompt_each_replica_holds() -> None:
    index = PrefixIndex()
    send(index, 0, hashes(1, 2, 3))
    send(index, 1, hashes(1, 2))
    assert index.held_by((0, 1, 2), hashes(1, 2, 3, 4)) == [3, 2, 0]
    assert index.held_by((1, 0), hashes(1, 2, 9)) == [2, 2]
    assert index.held_by((0, 1), hashes(9)) == [0, 0]
    assert index.held_by((0, 1), ()) == [0, 0]
    assert index.matches((0, 2), hashes(1)) == {0: 1, 2: 0}


def test_names_the_holders_of_the_longest_prefix() -> None:
    index = PrefixIndex()
    for slot, prompt in ((7, hashes(1, 2, 3)), (900, hashes(1, 2)), (7, hashes(1, 2, 3))):
        index.insert(slot, prompt, 1000, 0, named=True)
    assert index.holders(hashes(1, 2, 3, 4)) == [7]
    assert set(index.holders(hashes(1, 2, 9))) == {7, 900}
    assert index.holders(hashes(9)) == []


def test_a_replica_that_restarted_holds_nothing_and_learns_anew() -> None:
    index = PrefixIndex()
    send(index, 0, hashes(1, 2))
    send(index, 1, hashes(1, 2))
    index.forget(0)
    assert index.held_by((0, 1), hashes(1, 2)) == [0, 2]
    send(index, 0, hashes(1, 2))
    assert index.held(0, hashes(1, 2)) == 2


def test_the_least_recently_used_are_forgotten_first() -> None:
    index = PrefixIndex()
    send(index, 0, hashes(*range(1, 11)), 320)
    for start in range(1000, 1300, 10):
        send(index, 0, hashes(*range(start, start + 10)), 320)
        if start < 1250:
            send(index, 0, hashes(1, 2, 3, 4, 5), 320)  # kept young
    # 300 blocks were sent after the first ten, and the capacity is 320, of which an epoch is a 32nd.
    assert index.held(0, hashes(*range(1, 11))) == 10
    for start in range(2000, 2250, 10):
        send(index, 0, hashes(*range(start, start + 10)), 320)
    assert index.held(0, hashes(*range(1, 11))) == 5
    for start in range(3000, 3320, 10):
        send(index, 0, hashes(*range(start, start + 10)), 320)
    assert index.held(0, hashes(*range(1, 11))) == 0
    assert index.held(0, hashes(*range(3310, 3320))) == 10


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.integers(0, 400), min_size=1, max_size=9, unique=True)),
        max_size=60,
    ),
    st.integers(1, 64),
)
def test_no_replica_is_believed_to_hold_more_than_its_capacity(
    sent: list[tuple[int, list[int]]], capacity: int
) -> None:
    index = PrefixIndex(table_words=1 << 17)
    for slot, blocks in sent:
        send(index, slot, hashes(*blocks), capacity)
    for slot in range(4):
        alive = sum(index.held(slot, hashes(block)) for block in range(401))
        # The epoch under way, and the prompt that began it, come on top.
        assert alive <= capacity + capacity // 32 + 9


def test_workers_that_share_memory_share_what_they_learned() -> None:
    memory = memoryview(bytearray(PrefixIndex.bytes_needed(1 << 17)))
    one, other = PrefixIndex(memory, 1 << 17), PrefixIndex(memory, 1 << 17)
    send(one, 5, hashes(1, 2, 3))
    assert other.held(5, hashes(1, 2, 3)) == 3
    other.forget(5)
    assert one.held(5, hashes(1, 2, 3)) == 0


def test_garbage_in_shared_memory_costs_misses_only() -> None:
    memory = memoryview(bytearray(Random(1).randbytes(PrefixIndex.bytes_needed(1 << 17))))
    index = PrefixIndex(memory, 1 << 17)
    for slot in range(0, MAX_SLOTS, 97):
        for start in range(0, 600, 8):
            send(index, slot, hashes(*range(start + 1, start + 9)), 100)
        assert 0 <= index.held(slot, hashes(*range(593, 601))) <= 8
        index.learn(slot, 2048, 0, 256)
    assert all(0 <= slot < MAX_SLOTS for slot in index.holders(hashes(1, 2)))


def test_engines_correct_what_they_are_believed_to_hold() -> None:
    index = PrefixIndex()
    for _ in range(3):
        send(index, 0, hashes(1, 2, 3, 4))
        assert index.held(0, hashes(1, 2, 3, 4)) == 4
        index.learn(0, 1024, 0, 256)  # nothing of what was believed, again and again: restarted
    assert index.held(0, hashes(1, 2, 3, 4)) == 0
    for _ in range(200):
        index.learn(1, 1024, 300, 256)  # less than half: its cache is smaller than thought
    for start in range(0, 400, 10):
        send(index, 1, hashes(*range(start + 1, start + 11)), 320)
    assert sum(index.held(1, hashes(block)) for block in range(1, 401)) <= 60


def test_a_table_must_be_a_power_of_two_and_large_enough() -> None:
    for words in (1 << 16, 3 << 17):
        with pytest.raises(ValueError, match="table_words is"):
            PrefixIndex(table_words=words)
