"""From a journal's changes to bars."""

from steelyard.jobs.gantt import bars_of
from steelyard.model.job_record import Transition


def change(at_s: float, before: str, after: str, node: str, task: str = "1.0") -> tuple[float, Transition]:
    return at_s, Transition(
        task_id=task, job_id="1", before=before, after=after, reason="", node_id=node, epoch=1, at_s=at_s
    )


def spans(*changes: tuple[float, Transition]) -> list[tuple[object, ...]]:
    return [
        (bar["node"], bar["from_wall_s"], bar["to_wall_s"], bar["became"]) for bar in bars_of(changes, 100.0)
    ]


def test_an_attempt_is_one_bar_from_its_place_to_its_end() -> None:
    assert spans(
        change(110, "queued", "placing", "A"),
        change(111, "placing", "running", "A"),
        change(120, "running", "done", "A"),
    ) == [("A", 110, 120, "done")]


def test_a_move_is_two_bars() -> None:
    assert spans(
        change(110, "queued", "placing", "A"),
        change(120, "running", "moving", "A"),
        change(121, "moving", "placing", "B"),
    ) == [("A", 110, 121, "placing"), ("B", 121, None, "")]


def test_what_began_before_what_is_remembered_begins_with_the_window() -> None:
    assert spans(change(150, "running", "failed", "A")) == [("A", 100.0, 150, "failed")]


def test_waiting_is_no_bar() -> None:
    assert spans(change(110, "", "queued", ""), change(120, "queued", "cancelled", "")) == []
