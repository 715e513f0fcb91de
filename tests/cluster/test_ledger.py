"""Counts of what is in flight."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from tests.harness.fleets import fleet_of

from steelyard.cluster.ledger import Ledger
from steelyard.runtime.page import SharedPage
from steelyard.runtime.shared_ledger import SharedLedger


def now(publish: Callable[[], None]) -> None:
    """A schedule that does not wait."""
    publish()


actions = st.lists(st.tuples(st.sampled_from("cfr"), st.integers(0, 2), st.integers(0, 100)), max_size=60)


@given(actions)
def test_nothing_goes_below_zero_and_both_ledgers_agree(done: list[tuple[str, int, int]]) -> None:
    plain, shared = fleet_of(0, 0, 0), fleet_of(0, 0, 0)
    page = SharedPage.create(1)
    ledgers = (Ledger(plain), SharedLedger(shared, page, 0, now))
    for ledger in ledgers:
        for what, slot, tokens in done:
            if what == "c":
                ledger.charge(slot, tokens, tokens)
            elif what == "f":
                ledger.first_token(slot, tokens)
            else:
                ledger.release(slot, tokens, tokens)
    assert plain == shared
    assert min(*plain.requests, *plain.queued_prompt_tokens, *plain.output_tokens) >= 0
    assert page.ledger_row(0)[:3].tolist() == plain.requests


def test_a_worker_sees_what_others_have_in_flight_until_they_die() -> None:
    page = SharedPage.create(2)
    mine, other = fleet_of(0, 0), fleet_of(0, 0)
    here, there = SharedLedger(mine, page, 0, now), SharedLedger(other, page, 1, now)
    here.charge(0, 10, 5)
    there.charge(0, 7, 3)
    here.refresh(1.0)
    assert (mine.requests[0], mine.queued_prompt_tokens[0], mine.output_tokens[0]) == (2, 17, 8)
    page.clear_ledger_row(1)
    here.refresh(1.0005)
    assert mine.requests[0] == 2
    here.refresh(1.01)
    assert mine.requests[0] == 1


def test_what_is_ours_stays_ours_when_others_come_and_go() -> None:
    page = SharedPage.create(2)
    page.set_in_use(1, False)
    mine = fleet_of(0, 0)
    here = SharedLedger(mine, page, 0, now)
    here.charge(0, 10, 5)  # alone
    page.set_in_use(1, True)
    there = SharedLedger(fleet_of(0, 0), page, 1, now)
    there.charge(0, 7, 3)
    here.refresh(1.0)
    assert mine.requests[0] == 2
    here.charge(1, 1, 1)
    page.clear_ledger_row(1)
    page.set_in_use(1, False)
    here.refresh(1.01)
    assert mine.requests == [1, 1]
    here.release(0, 10, 5)
    here.release(1, 1, 1)
    assert (mine.requests, mine.queued_prompt_tokens, mine.output_tokens) == ([0, 0], [0, 0], [0, 0])


def test_changes_are_published_together_when_their_time_comes() -> None:
    page = SharedPage.create(2)
    waiting: list[Callable[[], None]] = []
    ledger = SharedLedger(fleet_of(0, 0), page, 0, waiting.append)
    ledger.charge(0, 10, 5)
    ledger.charge(1, 10, 5)
    ledger.release(0, 10, 5)
    assert len(waiting) == 1
    assert page.ledger_row(0)[:2].tolist() == [0, 0]
    waiting.pop()()
    assert page.ledger_row(0)[:2].tolist() == [0, 1]
    ledger.release(1, 10, 5)
    waiting.pop()()
    assert page.ledger_row(0)[:2].tolist() == [0, 0]


def test_a_fleet_table_is_read_whole_or_not_at_all() -> None:
    page = SharedPage.create(1)
    page.publish_fleet(b"one")
    read = page.read_fleet()
    assert read is not None
    assert read[1] == b"one"
    page._header[0] += 1  # the supervisor is in the middle of writing
    assert page.read_fleet() is None
