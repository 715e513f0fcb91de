"""The counter row's layout is written as numbers: they must be those of what is counted."""

from steelyard.gateway import meters
from steelyard.runtime.page import COUNTERS


def test_the_numbers_are_those_of_what_is_counted() -> None:
    assert len(meters.PLAIN) == meters.POOLS_AT
    assert len(meters.STATUS_CLASSES) == meters.STATUS_CLASSES_COUNT
    assert len(meters.OUTCOMES) == meters.OUTCOMES_COUNT
    for bounds_s in (meters.TTFT_BOUNDS_S, meters.TOTAL_BOUNDS_S, meters.TPOT_BOUNDS_S, meters.TOKEN_BOUNDS):
        assert len(bounds_s) + 2 == meters.HISTOGRAM_WORDS
        assert list(bounds_s) == sorted(bounds_s)
    assert meters.WASTED_AT + len(meters.WASTED) == meters.PROMPT_AT


def test_the_row_has_room() -> None:
    assert meters.WASTED_AT + len(meters.WASTED) == meters.PROMPT_AT
    assert meters.TPOT_AT + meters.MAX_POOLS * meters.HISTOGRAM_WORDS <= COUNTERS


def test_tokens_go_into_the_first_bucket_that_holds_them() -> None:
    for tokens in (0, 1, 2, 3, 4, 5, 1_023, 1_024, 1_025, 524_288, 524_289, 10_000_000):
        bounds = (*meters.TOKEN_BOUNDS, float("inf"))
        expected = next(at for at, bound in enumerate(bounds) if tokens <= bound)
        assert meters.token_bucket(tokens) == expected, tokens
