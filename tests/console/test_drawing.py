"""Numbers on pages: few places, one unit a scale, no width that changes for nothing."""

import pytest

from steelyard.console.drawing import ago, number, score, seconds, sentence, span, tiny


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"),
        (0, "0"),
        (1.05e-8, "< 0.0001"),
        (0.000851, "0.000851"),
        (0.6666, "0.667"),
        (1234.5, "1,234"),
    ],
)
def test_a_balance_degree_is_never_in_powers_of_ten(value: float | None, written: str) -> None:
    assert tiny(value) == written


@pytest.mark.parametrize(("value", "written"), [(0.00406, "0"), (0.25, "0.25"), (12.34, "12.3"), (8.0, "8")])
def test_a_count_has_decimals_only_where_they_say_something(value: float, written: str) -> None:
    assert number(value) == written


@pytest.mark.parametrize(("value", "written"), [(0.00821, "0.008210"), (12345.6, "12,346"), (None, "–")])
def test_a_score_tells_near_ties_apart(value: float | None, written: str) -> None:
    assert score(value) == written


def test_minutes_are_not_metres() -> None:
    assert [seconds(value) for value in (0.012, 1.25, 192.0, 9000.0)] == [
        "12 ms",
        "1.25 s",
        "3.2 min",
        "2.5 h",
    ]
    assert [span(value) for value in (2.0, 90.0, 60.0, 600.0, 86400.0)] == [
        "2 s",
        "90 s",
        "1 min",
        "10 min",
        "1 d",
    ]


def test_the_marks_of_a_scale_have_one_unit() -> None:
    assert [span(mark, 30) for mark in (90, 60, 30)] == ["90 s", "60 s", "30 s"]
    assert [span(mark, 60) for mark in (120, 60)] == ["2 min", "1 min"]


def test_how_long_ago_is_in_whole_units() -> None:
    assert [ago(0.0, now_s) for now_s in (-1.0, 52.6, 119.9, 185.0, 7300.0)] == [
        "0 s",
        "52 s",
        "119 s",
        "3 min",
        "2 h",
    ]


def test_a_message_becomes_a_sentence_without_the_terminals_remedy() -> None:
    assert sentence("nobody is here (why): start one with `x`, or not") == "Nobody is here (why)."
    assert sentence("Told.") == "Told."
