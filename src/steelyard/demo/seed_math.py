"""Sections 4.4 and 5 of the seed, computed by its own formulas, beside what the article prints."""

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.model.metrics import balance_degree, utilisation

CPU_BEFORE, CPU_AFTER = (0.4, 0.3, 0.2), (0.6, 0.3, 0.2)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One number: what it is, by the formula, in the article."""

    what: str
    computed: str
    article: str
    remark: str = ""


def section_4_4() -> list[Comparison]:
    """Nodes A 40 %, B 30 %, C 20 % CPU; then A at 60 %, when T1 moves to B."""
    return [
        Comparison("utilisation, S = (0.4, 0.3, 0.2)", f"{utilisation(CPU_BEFORE):.4f}", "0.3167",
                   "ΣS / (n · max S) = 0.9 / (3 · 0.4); the article adds A twice and leaves out max S"),
        Comparison("balance degree", f"{balance_degree(CPU_BEFORE):.5f}", "0.0111",
                   "the mean of the squared deviations 0.01, 0, 0.01"),
        Comparison("utilisation, A at 0.6", f"{utilisation(CPU_AFTER):.4f}", "0.43",
                   "1.1 / (3 · 0.6)"),
        Comparison("balance degree, A at 0.6", f"{balance_degree(CPU_AFTER):.5f}", "0.0143",
                   "larger than before: the node became hotter"),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class MinLoadRun:
    """One run of the program of section 5."""

    order: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]
    remaining: tuple[float, ...]
    utilisation: tuple[float, ...]
    balance: float


CAPACITY = 100.0
TASKS = ((50.0, 1.0), (100.0, 2.0), (75.0, 1.5), (25.0, 0.5))
"""(size, time) as in section 5.4; a size is taken of CPU and of memory alike."""


def section_5(nodes: int = 3, *, least_remaining: bool = False) -> MinLoadRun:
    """Tasks by increasing time, each to the node of least load that has room; ties to the first node.

    least_remaining: what the article's program does instead: it takes the least *remaining* capacity for
    the least load, and so fills the fullest node.
    """
    order = sorted(range(len(TASKS)), key=lambda index: TASKS[index][1])
    remaining = [CAPACITY] * nodes
    rows = [[0] * nodes for _ in TASKS]
    for index in order:
        size = TASKS[index][0]
        fitting = [node for node in range(nodes) if remaining[node] >= size]
        if not fitting:
            continue
        sign = 1 if least_remaining else -1
        chosen = min(fitting, key=lambda node: (sign * remaining[node], node))
        remaining[chosen] -= size
        rows[index][chosen] = 1
    counts = [sum(column) for column in zip(*rows, strict=True)]
    most = max(counts) or 1
    shares = [count / most for count in counts]
    return MinLoadRun(
        order=tuple(order),
        rows=tuple(tuple(row) for row in rows),
        remaining=tuple(remaining),
        utilisation=tuple(shares),
        balance=squared_deviations(shares),
    )


def squared_deviations(shares: Sequence[float]) -> float:
    """Section 5's balance: the sum, not the mean, of the squared deviations of the utilisations."""
    return balance_degree(shares) * len(shares)


def differences() -> list[str]:
    """Why the output that section 5.4 prints cannot come from the program of section 5.2."""
    return [
        "the program takes the node with the least remaining capacity for the least loaded one",
        "its matrix has rows in the order of time, not in the order in which the tasks were given",
        "task 2 takes a whole node: two others must share one, so the counts a node cannot be equal",
        "the largest share is 1 by definition (the most on any node ÷ itself): (0.5, 0.5, 0.5) cannot be",
        "the printed matrix has 2, 1 and 1 tasks a node: utilisation (1, 0.5, 0.5), balance 0.1667",
    ]
