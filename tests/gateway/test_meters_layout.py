"""The counter row's layout is written as numbers: they must be those of what is counted."""

from steelyard.gateway import meters
from steelyard.runtime.page import COUNTERS


def test_the_numbers_are_those_of_what_is_counted() -> None:
    assert len(meters.PLAIN) == meters.POOLS_AT
    assert len(meters.STATUS_CLASSES) == meters.STATUS_CLASSES_COUNT
    assert len(meters.OUTCOMES) == meters.OUTCOMES_COUNT
    for bounds_s in (meters.TTFT_BOUNDS_S, meters.TOTAL_BOUNDS_S):
        assert len(bounds_s) + 2 == meters.HISTOGRAM_WORDS
        assert list(bounds_s) == sorted(bounds_s)


def test_the_row_has_room() -> None:
    assert meters.WASTED_AT + len(meters.WASTED) <= COUNTERS
