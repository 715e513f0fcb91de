"""Where the bars of a timeline lie: rows, lanes inside a row, and lengths in thousandths of the window."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MAX_ROWS = 40
MAX_LANES = 8
LEAST = 2.0  # thousandths: a bar that is over in no time is still seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One stretch of time. to_s: None for one that lasts. kind: what it is drawn as."""

    row: str
    from_s: float
    to_s: float | None
    kind: str
    title: str
    job: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A bar in its place. x, width: thousandths of the window; lane: from the top."""

    bar: Bar
    x: float
    width: float
    lane: int


@dataclass(slots=True)
class Row:
    """One line of the picture. left_out: bars that would have needed more lanes than are drawn."""

    name: str
    drawn: list[Drawn] = field(default_factory=list)
    lanes: int = 1
    left_out: int = 0


def rows(bars: Iterable[Bar], names: Sequence[str], begin_s: float, end_s: float) -> list[Row]:
    """Put bars into rows, each into the first lane that is free.

    names: rows that are drawn also when they are empty, first and in this order; others follow by name. A bar
    keeps its lane as time goes by, since lanes are given in order of beginnings.
    """
    by_row: dict[str, list[Bar]] = {name: [] for name in names}
    for bar in sorted(bars, key=lambda each: (each.from_s, each.title)):
        by_row.setdefault(bar.row, []).append(bar)
    return [_row(name, mine, begin_s, end_s) for name, mine in [*by_row.items()][:MAX_ROWS]]


def _row(name: str, bars: list[Bar], begin_s: float, end_s: float) -> Row:
    row, free_from_s = Row(name), [float("-inf")] * MAX_LANES
    scale = 1000.0 / max(1e-9, end_s - begin_s)
    for bar in bars:
        from_s, to_s = max(begin_s, bar.from_s), min(end_s, bar.to_s if bar.to_s is not None else end_s)
        if to_s < begin_s or from_s > end_s:
            continue
        lane = next((at for at, free_s in enumerate(free_from_s) if free_s <= bar.from_s), None)
        if lane is None:
            row.left_out += 1
            continue
        free_from_s[lane] = float("inf") if bar.to_s is None else bar.to_s
        width = max(LEAST, (to_s - from_s) * scale)
        x = min((from_s - begin_s) * scale, 1000.0 - LEAST)
        row.drawn.append(Drawn(bar, round(x, 2), round(min(width, 1000.0 - x), 2), lane))
        row.lanes = max(row.lanes, lane + 1)
    return row


def ticks(window_s: float) -> list[tuple[float, float]]:
    """(thousandths, seconds before the end) of a few round times inside a window."""
    steps = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 172800)
    step_s = next((step for step in steps if window_s / step <= 6), steps[-1])
    marks = [index * step_s for index in range(int(window_s / step_s) + 1)]
    return [(round(1000.0 * (1 - ago_s / window_s), 2), float(ago_s)) for ago_s in reversed(marks)]
