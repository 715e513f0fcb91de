"""The HTML page of a cluster's simulation: tables, and curves by demand that has arrived."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steelyard.reports.page import COLOURS, HEIGHT, MARGIN, STYLE, WIDTH, plot

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot, in the plot's own units."""

    name: str
    points: Points


def curves(lines: Sequence[Curve], x_label: str, y_label: str) -> str:
    """A plot whose axes begin at 0 and end at the greatest values, with ticks on both."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    if not xs:
        return "<p>Nothing to show.</p>"
    most_x, most_y = max(xs) or 1.0, max(ys) or 1.0
    scaled = [(line.name, [(x / most_x, y / most_y) for x, y in line.points]) for line in lines]
    return plot(scaled, x_label, y_label, _ticks(most_x, most_y))


def _ticks(most_x: float, most_y: float) -> str:
    marks = []
    for at in range(1, 5):
        x = MARGIN + at / 4 * (WIDTH - MARGIN)
        y = (1 - at / 4) * (HEIGHT - MARGIN)
        anchor = "end" if at == 4 else "middle"
        marks.append(f'<text x="{x:.0f}" y="{HEIGHT - 26}" text-anchor="{anchor}">{at / 4 * most_x:g}</text>')
        if at < 4:
            marks.append(
                f'<text x="{MARGIN - 4}" y="{y + 4:.0f}" text-anchor="end">{at / 4 * most_y:.3g}</text>'
            )
    return "".join(marks)


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
    return f'<table style="width:100%">{"".join(rows)}</table>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def write_cluster_page(path: Path, title: str, source: str, parts: Sequence[tuple[str, str]]) -> Path:
    """Write a page of headed parts of HTML; return its path. Raises OSError."""
    body = "".join(f"<h2>{html.escape(heading)}</h2>{part}" for heading, part in parts)
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1><p>{html.escape(source)}.</p>{body}</html>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path
