"""Receipts: what is kept, for how long, and what it costs."""

import timeit

import pytest
from tests.harness.fleets import fleet_of

from steelyard.gateway.receipts import MAX_SHOWN, Receipts, header
from steelyard.model.pick import Pick

FLEET = fleet_of(0, 1, 2)
PICK = Pick(1, "prefix", (0, 1), (0.5, 0.25), 512, 900.0)


def test_a_request_is_found_with_all_its_tries_in_order() -> None:
    receipts = Receipts()
    receipts.note(b"one", "llm", PICK, 1_000, 1, 10.0)
    receipts.note(b"two", "llm", Pick(0, "random"), 7, 1, 10.5)
    receipts.note(b"one", "llm", Pick(2, "estimate", (0, 2), (0.5, 0.75)), 1_000, 2, 11.0)
    first, second = receipts.find(b"one", FLEET, 12.0)
    assert (first["replica"], first["reason"], first["attempt"]) == ("replica-1", "prefix", 1)
    assert first["candidates"] == [
        {"replica": "replica-1", "score": 0.25},
        {"replica": "replica-0", "score": 0.5},
    ]
    assert (second["replica"], second["attempt"]) == ("replica-2", 2)
    assert second["at"] - first["at"] == pytest.approx(1.0, abs=0.1)
    assert receipts.find(b"three", FLEET, 12.0) == []
    assert [each["request_id"] for each in receipts.latest(2, FLEET, 12.0)] == ["one", "two"]


def test_the_ring_is_bounded_and_the_oldest_are_forgotten() -> None:
    receipts = Receipts(kept=8)
    for number in range(20):
        receipts.note(b"%d" % number, "llm", PICK, 1, 1, float(number))
    kept = [each["request_id"] for each in receipts.latest(100, FLEET, 20.0)]
    assert kept == [str(number) for number in range(19, 11, -1)]
    with pytest.raises(ValueError, match="power of two"):
        Receipts(kept=10)


def test_of_many_candidates_the_best_are_shown_and_always_the_chosen() -> None:
    fleet = fleet_of(*range(100))
    pick = Pick(99, "odd", tuple(range(100)), tuple(float(slot) for slot in range(100)))
    receipts = Receipts()
    receipts.note(b"x", "llm", pick, 1, 1, 0.0)
    (found,) = receipts.find(b"x", fleet, 0.0)
    shown = [each["replica"] for each in found["candidates"]]
    assert (found["compared"], len(shown), shown[0], shown[-1]) == (100, MAX_SHOWN, "replica-0", "replica-99")


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
