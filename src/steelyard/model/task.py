"""Tasks, and the seed's assignment matrix of tasks to nodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steelyard.model.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One schedulable process; the seed's T_i is (size_bytes, expected_time_s)."""

    task_id: str
    size_bytes: float = 0.0
    expected_time_s: float = 0.0
    demand: Resources = field(default_factory=Resources)
    priority: int = 0

    def __post_init__(self) -> None:
        if self.size_bytes < 0 or self.expected_time_s < 0:
            raise ValueError(f"task {self.task_id!r} has a size or an expected time below 0")


@dataclass(frozen=True, slots=True)
class Assignment:
    """The seed's m × n matrix A: a_ij is 1 when task i is on node j, else 0.

    rows: shape (tasks, nodes); a task is on one node at most.
    """

    task_ids: tuple[str, ...]
    node_ids: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.task_ids):
            raise ValueError(f"{len(self.rows)} rows for {len(self.task_ids)} tasks")
        for task_id, row in zip(self.task_ids, self.rows, strict=True):
            if len(row) != len(self.node_ids):
                raise ValueError(f"task {task_id!r} has {len(row)} entries for {len(self.node_ids)} nodes")
            if any(entry not in (0, 1) for entry in row) or sum(row) > 1:
                raise ValueError(f"task {task_id!r} has row {row}: entries are 0 or 1, with at most one 1")

    @classmethod
    def from_places(
        cls, task_ids: Sequence[str], node_ids: Sequence[str], places: Mapping[str, str]
    ) -> "Assignment":
        """Build the matrix from task → node; a task that is missing from `places` has a row of zeros.

        Raises ValueError for a place that is not among `node_ids`.
        """
        unknown = sorted(set(places.values()) - set(node_ids))
        if unknown:
            raise ValueError(f"unknown nodes {unknown}: known are {sorted(node_ids)}")
        rows = tuple(tuple(int(places.get(task) == node) for node in node_ids) for task in task_ids)
        return cls(tuple(task_ids), tuple(node_ids), rows)

    def node_of(self, task_id: str) -> str | None:
        """The node that a task is on, or None."""
        row = self.rows[self.task_ids.index(task_id)]
        return self.node_ids[row.index(1)] if 1 in row else None

    def tasks_per_node(self) -> tuple[int, ...]:
        """Column sums, shape (nodes,)."""
        return (
            tuple(sum(column) for column in zip(*self.rows, strict=True))
            if self.rows
            else (0,) * len(self.node_ids)
        )
