"""Receipts: what is kept, for how long, and what it costs."""

import timeit

import pytest
from tests.harness.fleets import fleet_of

from steelyard.gateway.receipts import MAX_SHOWN, Packed, Receipts, decision, header
from steelyard.gateway.told_picks import describe, packed_answer, told
from steelyard.model.pick import Pick

FLEET = fleet_of(0, 1, 2)
PICK = Pick(1, "prefix", (0, 1), (0.5, 0.25), 512, 900.0)


def numbers(packed: list[Packed]) -> list[int]:
    return [each.number for each in told(packed_answer(packed, 1 << 20))]


def test_a_request_is_found_with_all_its_tries_in_order() -> None:
    receipts, second = Receipts(), Pick(2, "estimate", (0, 2), (0.5, 0.75))
    receipts.note(b"one", "llm", PICK, 1_000, 1, 10.0)
    receipts.note(b"two", "llm", Pick(0, "random"), 7, 1, 10.5)
    receipts.note(b"one", "llm", second, 1_000, 2, 11.0)
    assert receipts.find(b"one") == [(10.0, PICK), (11.0, second)]
    assert receipts.find(b"three") == []
    assert numbers(receipts.of_request(b"one", 0.0)) == [2, 0]
    assert numbers(receipts.of_request(b"one", 10.5)) == [2]


def test_the_ring_is_bounded_and_the_oldest_are_forgotten() -> None:
    receipts = Receipts(kept=8)
    for number in range(20):
        receipts.note(b"%d" % number, "llm", PICK, 1, 1, float(number))
    assert numbers(receipts.newest(100, 0.0, whole=True)) == list(range(19, 11, -1))
    assert numbers(receipts.newest(3, 0.0, whole=True)) == [19, 18, 17]
    assert numbers(receipts.newest(100, 18.0, whole=False)) == [19, 18]
    assert numbers(receipts.matching("17", 100, FLEET, 0.0, whole=False)) == [17]
    assert numbers(receipts.matching("replica-1", 2, FLEET, 0.0, whole=False)) == [19, 18]
    assert receipts.matching("17", 100, FLEET, 18.0, whole=False) == []
    with pytest.raises(ValueError, match="power of two"):
        Receipts(kept=10)


def test_of_many_candidates_the_best_are_shown_and_always_the_chosen() -> None:
    names = [f"replica-{slot}" for slot in range(100)]
    pick = Pick(99, "odd", tuple(range(100)), tuple(float(slot) for slot in range(100)))
    receipts = Receipts()
    receipts.note(b"x", "llm", pick, 1, 1, 5.0)
    (whole,) = told(packed_answer(receipts.of_request(b"x", 0.0), 1 << 20))
    found = describe(whole, names, 1e9)
    shown = [each["replica"] for each in found["candidates"]]
    assert (found["compared"], len(shown), shown[0], shown[-1]) == (100, MAX_SHOWN, "replica-0", "replica-99")
    assert (found["request_id"], found["at"], found["replica"]) == ("x", 1e9, "replica-99")
    (brief,) = told(packed_answer(receipts.newest(1, 0.0, whole=False), 1 << 20))
    assert describe(brief, names, 1e9) == found | {"candidates": []}


def test_what_a_worker_tells_of_a_pick_is_what_the_access_log_says_of_it() -> None:
    receipts = Receipts()
    receipts.note(b"one", "llm", PICK, 1_000, 2, 10.0)
    (found,) = told(packed_answer(receipts.of_request(b"one", 0.0), 1 << 20))
    assert describe(found, FLEET.ids, 7.5) == {
        "request_id": "one",
        "at": 7.5,
        "pool": "llm",
        "attempt": 2,
        "prompt_tokens": 1_000,
        **decision(PICK, FLEET.ids),
    }
    assert decision(PICK, FLEET.ids)["candidates"] == [
        {"replica": "replica-1", "score": 0.25},
        {"replica": "replica-0", "score": 0.5},
    ]


def test_the_header_is_one_harmless_line_whatever_a_replica_is_called() -> None:
    fleet = fleet_of(0, 1)
    fleet.ids[1] = "a;b\r\nX-Evil: é"
    pieces = header(PICK, fleet).split(b"; ")
    assert pieces[0] == b"X-Steelyard-Pick: replica=a_b__X-Evil:__"
    assert pieces[1:] == [b"reason=prefix", b"score=0.25", b"matched_tokens=512", b"compared=2"]


def test_a_receipt_costs_at_most_a_microsecond() -> None:
    receipts, count = Receipts(), 1_000
    note = receipts.note
    took_s = min(timeit.repeat(lambda: note(b"id", "llm", PICK, 9, 1, 0.5), number=count, repeat=300))
    # The best of many short runs: what else runs on the machine makes some slower, none faster.
    assert took_s / count < 1e-6


def test_what_a_worker_tells_of_a_pick_costs_it_little() -> None:
    receipts = Receipts()
    for number in range(50):
        receipts.note(b"7f3a5c0123-%d" % number, "llm", PICK, 1_000, 1, float(number))
    tell = lambda: packed_answer(receipts.newest(50, 0.0, whole=False), 1 << 16)  # noqa: E731
    took_s = min(timeit.repeat(tell, number=10, repeat=100)) / 10
    assert took_s < 50 * 5e-6  # interpreted; described as JSON here, it was 20 to 50 µs a receipt
