"""The seed's case (section 3.3) as data: five nodes and their loads, ten tasks and their times."""

from dataclasses import dataclass

NODE_LOADS = {"A": (0.30, 0.50), "B": (0.20, 0.40), "C": (0.40, 0.30), "D": (0.10, 0.20), "E": (0.20, 0.30)}
"""Node → used fraction of CPU, of memory. Disk and network are 100 MB/s each on all."""


@dataclass(frozen=True, slots=True)
class SeedTask:
    """One training task."""

    name: str
    size_mb: float
    hours: float
    article_node: str  # where the article puts it


TASKS = (
    SeedTask("T1", 100, 1.0, "D"),
    SeedTask("T2", 200, 1.5, "E"),
    SeedTask("T3", 150, 1.0, "B"),
    SeedTask("T4", 50, 0.5, "C"),
    SeedTask("T5", 300, 2.0, "A"),
    SeedTask("T6", 200, 1.5, "B"),
    SeedTask("T7", 100, 1.0, "D"),
    SeedTask("T8", 150, 1.5, "E"),
    SeedTask("T9", 300, 2.0, "A"),
    SeedTask("T10", 200, 1.5, "C"),
)
