"""The picture of the replicas' caches."""

import mmap
import multiprocessing
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.policies.prefix_index import PrefixIndex

SMALL = 1 << 17


def chain(seed: int, count: int) -> tuple[int, ...]:
    """Hashes of a prompt's blocks."""
    rng = Random(seed)
    return tuple(rng.getrandbits(64) for _ in range(count))


def sent(index: PrefixIndex, slot: int, hashes: tuple[int, ...], capacity: int = 1000) -> None:
    """A replica is sent a prompt."""
    index.insert(slot, hashes, capacity, index.held(slot, hashes), named=True)


def test_finds_how_many_of_the_first_blocks_each_replica_holds() -> None:
    index, prompt, other = PrefixIndex(table_words=SMALL), chain(1, 5), chain(2, 3)
    sent(index, 0, prompt)
    sent(index, 1, prompt[:2])
    assert index.held_by((0, 1, 2), prompt) == [5, 2, 0]
    assert index.held_by((0, 1, 2), (*prompt[:3], *other)) == [3, 2, 0]
    assert index.held_by((0, 1), other) == [0, 0]
    assert index.held_by((0, 1), ()) == [0, 0]


def test_names_the_holders_of_the_longest_prefix() -> None:
    index, prompt = PrefixIndex(table_words=SMALL), chain(1, 4)
    sent(index, 700, prompt)
    sent(index, 3, prompt[:2])
    assert index.holders((*prompt, 9)) == [700]
    assert sorted(index.holders((*prompt[:2], 9))) == [3, 700]
    assert index.holders(chain(5, 2)) == []


def test_a_replica_that_restarted_holds_nothing() -> None:
    index, prompt = PrefixIndex(table_words=SMALL), chain(1, 4)
    sent(index, 0, prompt)
    sent(index, 1, prompt)
    index.forget(0)
    assert index.held_by((0, 1), prompt) == [0, 4]


def test_an_engine_that_has_nothing_left_three_times_in_a_row_was_restarted() -> None:
    index, prompt = PrefixIndex(table_words=SMALL), chain(1, 4)
    sent(index, 0, prompt)
    for _ in range(2):
        index.learn(0, 1024, 0, 256)
    assert index.held(0, prompt) == 4
    index.learn(0, 1024, 0, 256)
    assert index.held(0, prompt) == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(64, 400))
def test_what_was_sent_last_is_held_and_no_more_than_fits(seed: int, capacity: int) -> None:
    index, rng = PrefixIndex(table_words=SMALL), Random(seed)
    prompts = [chain(seed * 1000 + number, rng.randint(1, 20)) for number in range(200)]
    for prompt in prompts:
        sent(index, 0, prompt, capacity)
    assert index.held(0, prompts[-1]) == len(prompts[-1])
    held = sum(index.held(0, prompt) for prompt in prompts)
    # The oldest go first, at the grain of a 32nd of the capacity and of a prompt.
    assert held <= capacity + capacity // 32 + 40
    assert held >= min(sum(map(len, prompts)), capacity) * 0.75 - 40


def test_a_prompt_that_is_used_stays() -> None:
    index, kept = PrefixIndex(table_words=SMALL), chain(1, 8)
    for number in range(300):
        sent(index, 0, kept, 200)
        sent(index, 0, chain(100 + number, 8), 200)
    assert index.held(0, kept) == 8
    assert index.held(0, chain(100, 8)) == 0


def test_memory_has_a_bound_whatever_clients_send() -> None:
    index = PrefixIndex(table_words=SMALL)
    size = len(index.memory)
    for number in range(3000):
        sent(index, number % 50, chain(number, 50), 100_000)
    assert len(index.memory) == size == PrefixIndex.bytes_needed(SMALL)


@pytest.mark.parametrize("words", [1000, 1 << 10, (1 << 17) + 1])
def test_refuses_a_table_that_cannot_work(words: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        PrefixIndex(table_words=words)


def _send_elsewhere(page: mmap.mmap) -> None:
    sent(PrefixIndex(memoryview(page), SMALL), 2, chain(7, 6))


def test_two_processes_see_what_the_other_sent() -> None:
    page = mmap.mmap(-1, PrefixIndex.bytes_needed(SMALL))
    here = PrefixIndex(memoryview(page), SMALL)
    process = multiprocessing.get_context("fork").Process(target=_send_elsewhere, args=(page,))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert here.held(2, chain(7, 6)) == 6
