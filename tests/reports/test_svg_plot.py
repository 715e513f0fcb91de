"""Axes as a person would mark them, and lines that stay inside."""

import re

import pytest

from steelyard.reports.page import loads_plot
from steelyard.reports.svg_plot import HEIGHT, LEFT, WIDTH, Axis, from_zero, plot, written


@pytest.mark.parametrize(
    ("axis", "marks"),
    [
        (Axis(0.0, 130.0, ""), [0, 50, 100]),
        (Axis(80.0, 130.0, ""), [80, 90, 100, 110, 120, 130]),
        (Axis(0.0, 0.37, ""), [0, 0.1, 0.2, 0.3]),
        (Axis(0.04, 6.0, "", logarithmic=True), [0.05, 0.1, 0.2, 0.5, 1, 2, 5]),
        (Axis(0.004, 60.0, "", logarithmic=True), [0.01, 0.1, 1, 10]),
        (Axis(3.0, 3.0, ""), [3]),
        (Axis(0.0, 9.0, "", marked=False), []),
        (from_zero(0.0, ""), [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_marks_are_round(axis: Axis, marks: list[float]) -> None:
    assert axis.marks() == pytest.approx(marks)


def test_marks_are_written_short() -> None:
    assert [written(value) for value in (0.30000000000000004, 5.0, 25_000.0)] == ["0.3", "5", "25,000"]


def test_lines_stay_inside_and_names_are_only_names() -> None:
    text = plot([("<b>", [(0.0, -5.0), (1.0, 99.0)])], Axis(0.0, 1.0, "x"), Axis(0.0, 9.0, "y"))
    assert "<b>" not in text
    points = re.search(r'points="([^"]+)"', text)
    assert points is not None
    for pair in points[1].split():
        x, y = map(float, pair.split(","))
        assert LEFT <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_of_many_replicas_the_least_the_middle_and_the_most_are_drawn() -> None:
    samples = [{f"r{number}": float(number + at) for number in range(20)} for at in range(3)]
    text = loads_plot(samples, span_s=10.0)
    assert text.count("<polyline") == 3
    assert "most loaded" in text
    assert loads_plot([{"a": 1.0, "b": 2.0}]).count("<polyline") == 2
