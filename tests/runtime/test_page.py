"""The shared page: regions that do not overlap, seen alike by all processes that map it."""

import os

from steelyard.policies.prefix_index import PrefixIndex
from steelyard.runtime.page import SharedPage

ENTRIES = 1 << 17
HASHES = tuple((number + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1 for number in range(12))


def test_what_one_worker_learned_of_a_prefix_another_one_knows() -> None:
    page = SharedPage.create(2, PrefixIndex.bytes_needed(ENTRIES))
    other = SharedPage(os.dup(page.descriptor), 2)
    ours, theirs = (PrefixIndex(each.index_memory, ENTRIES) for each in (page, other))
    ours.insert(3, HASHES, 1_000, 0)
    assert theirs.held(3, HASHES) == len(HASHES)
    assert theirs.held(2, HASHES) == 0
    theirs.forget(3)
    assert ours.held(3, HASHES) == 0


def test_regions_do_not_overlap() -> None:
    page = SharedPage.create(2, PrefixIndex.bytes_needed(ENTRIES))
    for row in range(2):
        page.ledger_row(row)[:] = memoryview(bytes([row + 1]) * page.ledger_row(row).nbytes).cast("q")
        page.counter_row(row)[:] = memoryview(bytes([row + 3]) * page.counter_row(row).nbytes).cast("q")
    page.index_memory[:] = bytes([9]) * len(page.index_memory)
    page.publish_fleet(b"fleet")
    board = page.question_board()
    number = board.ask(b"why")
    for row in range(2):
        board.answer(row, number, b"since")
    assert [set(page.ledger_row(row).tobytes()) for row in range(2)] == [{1}, {2}]
    assert [set(page.counter_row(row).tobytes()) for row in range(2)] == [{3}, {4}]
    assert set(page.index_memory) == {9}
    assert page.read_fleet() == (2, b"fleet")
    assert [board.answer_of(row, number) for row in range(2)] == [b"since", b"since"]
