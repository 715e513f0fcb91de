"""Assignments and resources."""

import pytest

from steelyard.model.resources import NodeState, Resources
from steelyard.model.task import Assignment, Task


def test_the_matrix_has_a_row_a_task_and_a_column_a_node() -> None:
    matrix = Assignment.from_places(["T1", "T2", "T3"], ["A", "B"], {"T1": "B", "T2": "A"})
    assert matrix.rows == ((0, 1), (1, 0), (0, 0))
    assert matrix.tasks_per_node() == (1, 1)
    assert (matrix.node_of("T1"), matrix.node_of("T3")) == ("B", None)


@pytest.mark.parametrize("rows", [((1, 1),), ((2, 0),), ((1,),), ()])
def test_refuses_a_matrix_that_is_none(rows: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"row|entries"):
        Assignment(("T1",), ("A", "B"), rows)


def test_refuses_an_unknown_place() -> None:
    with pytest.raises(ValueError, match=r"unknown nodes \['C'\]"):
        Assignment.from_places(["T1"], ["A"], {"T1": "C"})


def test_free_is_what_is_left() -> None:
    node = NodeState(node_id="A", capacity=Resources(cpu_cores=8), used=Resources(cpu_cores=6, gpus=1))
    assert node.free == Resources(cpu_cores=2)
    assert node.used_fraction("cpu_cores") == 0.75
    assert node.used_fraction("gpus") == 0
    assert node.free.covers(Resources(cpu_cores=2))
    assert not node.free.covers(Resources(cpu_cores=2.5))
    assert node.used.plus(node.free).cpu_cores == 8


def test_refuses_less_than_nothing() -> None:
    with pytest.raises(ValueError, match="cpu_cores is -1"):
        Resources(cpu_cores=-1)
    with pytest.raises(ValueError, match="'T1'"):
        Task(task_id="T1", size_bytes=-1)
