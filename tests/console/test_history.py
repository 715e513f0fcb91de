"""Rings of fixed size."""

from steelyard.console.history import KEPT_CHANGES, MAX_REPLICAS, SERIES, Points, Span, StateHistory


def point(at_s: float) -> tuple[float | None, ...]:
    return (at_s, *[None] * (len(SERIES) - 1))


def test_the_oldest_point_is_forgotten() -> None:
    points = Points(kept=3)
    for at_s in range(1, 6):
        points.add(point(at_s))
    assert [each[0] for each in points.since(0)] == [3, 4, 5]
    assert [each[0] for each in points.since(4)] == [5]
    assert points.since(points.added) == []


def test_points_of_a_clock_that_was_set_back_are_new_all_the_same() -> None:
    points = Points(kept=3)
    points.add(point(5000))
    seen = points.added
    for at_s in (10, 11):
        points.add(point(at_s))
    assert [each[0] for each in points.since(seen)] == [10, 11]


def test_spans_cover_the_window_and_no_more() -> None:
    history = StateHistory()
    for at_s, state in ((100, "starting"), (101, "healthy"), (102, "healthy"), (150, "unhealthy")):
        history.note("a", state, at_s)
    assert history.spans("a", 160, 30) == [Span("healthy", 130, 20), Span("unhealthy", 150, 10)]
    assert history.changes("a") == 2
    assert history.spans("nobody", 160, 30) == []


def test_replicas_and_changes_have_a_bound() -> None:
    history = StateHistory()
    for number in range(MAX_REPLICAS + 5):
        history.note(f"r{number}", "healthy", number)
    for number in range(1000):
        history.note("last", ("healthy", "unhealthy")[number % 2], number)
    assert history.changes("last") == KEPT_CHANGES - 1
    assert history.changes("r0") == 0
    assert history.spans("r0", 2000, 2000) == []
