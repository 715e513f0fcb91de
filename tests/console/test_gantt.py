"""Where bars lie."""

from steelyard.console.gantt import MAX_LANES, Bar, rows, ticks


def bar(row: str, from_s: float, to_s: float | None, title: str = "t") -> Bar:
    return Bar(row=row, from_s=from_s, to_s=to_s, kind="running", title=title)


def test_bars_that_overlap_lie_in_lanes_of_their_own() -> None:
    (row,) = rows([bar("A", 0, 10, "a"), bar("A", 5, None, "b"), bar("A", 10, 12, "c")], ["A"], 0, 20)
    assert [(each.bar.title, each.lane) for each in row.drawn] == [("a", 0), ("b", 1), ("c", 0)]
    assert row.lanes == 2


def test_lengths_are_thousandths_of_the_window_and_stay_within_it() -> None:
    (row,) = rows([bar("A", -10, 5), bar("A", 15, None), bar("A", 6, 6)], [], 0, 20)
    assert [(each.x, each.width) for each in row.drawn] == [(0, 250), (300, 2), (750, 250)]


def test_what_is_over_before_the_window_is_left_out() -> None:
    (row,) = rows([bar("A", 0, 5)], ["A"], 10, 20)
    assert row.drawn == []


def test_nodes_without_bars_have_a_row_and_come_first() -> None:
    assert [row.name for row in rows([bar("Z", 0, 1), bar("B", 0, 1)], ["A", "B"], 0, 2)] == ["A", "B", "Z"]


def test_lanes_have_a_bound_and_what_is_left_out_is_counted() -> None:
    (row,) = rows([bar("A", 0, 10, str(number)) for number in range(MAX_LANES + 3)], [], 0, 20)
    assert (row.lanes, row.left_out) == (MAX_LANES, 3)


def test_ticks_are_few_and_end_now() -> None:
    for window_s in (10, 300, 1800, 86_400, 700_000):
        marks = ticks(window_s)
        assert 2 <= len(marks) <= 7
        assert marks[-1] == (1000.0, 0.0)
        assert all(0 <= x <= 1000 for x, _ in marks)
