"""The plots of a cluster's simulation: curves by demand that has arrived, and groups of bars."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steelyard.reports.svg_plot import COLOURS, Axis, Points, from_zero, keys, plot


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot, in the plot's own units."""

    name: str
    points: Points


def curves(lines: Sequence[Curve], x_label: str, y_label: str, *, whole: bool = True) -> str:
    """A plot of lines. whole: axes begin at 0, and not where the lines do."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    if not xs:
        return "<p>Nothing to show.</p>"
    x = Axis(0.0 if whole else min(xs), max(xs) or 1.0, x_label)
    y = from_zero(max(ys), y_label) if whole else Axis(min(ys), max(ys), y_label)
    return plot([(line.name, line.points) for line in lines], x, y)


def bars(groups: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """Groups of bars: by label, then by series."""
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    most = max((value for values in groups.values() for value in values.values()), default=0.0) or 1.0
    rows = []
    for label, values in groups.items():
        cells = "".join(
            f'<div style="background:{COLOURS[names.index(name) % len(COLOURS)]};height:.7em;'
            f'width:{100 * value / most:.1f}%" title="{html.escape(name)}: {value:.1f} {unit}"></div>'
            for name, value in values.items()
        )
        rows.append(f'<tr><td>{html.escape(label)}</td><td style="width:80%">{cells}</td></tr>')
    return f'{keys(names)}<table class="text" style="width:100%">{"".join(rows)}</table>'
