"""A Gantt chart and load curves as inline SVG, for a page of `reports.page`."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steelyard.reports.svg_plot import COLOURS, keys

WIDTH, LEFT, ROW, PAD = 860, 60, 24, 4
CURVE_HEIGHT = 150


@dataclass(frozen=True, slots=True)
class Bar:
    """One stay on one node. end: why it ended, for the tooltip."""

    row: str
    node: str
    begin_s: float
    end_s: float
    end: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a time."""

    at_s: float
    label: str


def gantt(rows: Sequence[str], nodes: Sequence[str], bars: Sequence[Bar], marks: Sequence[Mark]) -> str:
    """One line a row, one colour a node."""
    last_s = max((bar.end_s for bar in bars), default=1.0) or 1.0
    height = ROW * len(rows) + 40

    def x(at_s: float) -> float:
        return LEFT + at_s / last_s * (WIDTH - LEFT - 10)

    body = []
    for index, row in enumerate(rows):
        y = index * ROW + 20
        body.append(f'<text x="0" y="{y + 15}">{html.escape(row)}</text>')
        body.append(f'<line class="grid" x1="{LEFT}" y1="{y + ROW}" x2="{WIDTH}" y2="{y + ROW}"/>')
    for bar in bars:
        y = rows.index(bar.row) * ROW + 20
        colour = COLOURS[nodes.index(bar.node) % len(COLOURS)]
        width = max(2.0, x(bar.end_s) - x(bar.begin_s))
        tip = html.escape(f"{bar.row} on {bar.node}, {bar.begin_s:.1f} to {bar.end_s:.1f} s: {bar.end}")
        body.append(
            f'<g><title>{tip}</title><rect x="{x(bar.begin_s):.1f}" y="{y + PAD}" width="{width:.1f}" '
            f'height="{ROW - 2 * PAD}" rx="3" fill="{colour}"/>'
            f'<text class="bar" x="{x(bar.begin_s) + 4:.1f}" y="{y + 16}">{html.escape(bar.node)}</text></g>'
        )
    for mark in marks:
        body.append(
            f'<line class="axis" x1="{x(mark.at_s):.1f}" y1="14" x2="{x(mark.at_s):.1f}" y2="{height}"/>'
        )
        body.append(f'<text x="{x(mark.at_s) + 3:.1f}" y="12">{html.escape(mark.label)}</text>')
    body.append(f'<text x="{WIDTH}" y="{height - 4}" text-anchor="end">{last_s:.0f} s</text>')
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(body)}</svg>{keys(nodes)}'


def curves(nodes: Sequence[str], samples: Sequence[tuple[float, Mapping[str, float]]]) -> str:
    """A line a node: its measured CPU share over time."""
    last_s = max((at_s for at_s, _ in samples), default=1.0) or 1.0
    body = [f'<line class="grid" x1="{LEFT}" y1="{CURVE_HEIGHT}" x2="{WIDTH}" y2="{CURVE_HEIGHT}"/>']
    for share in (0.25, 0.5, 0.75, 1.0):
        y = (1 - share) * CURVE_HEIGHT
        body.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH}" y2="{y}"/>')
        body.append(f'<text x="0" y="{y + 10}">{share:.0%}</text>')
    for index, node in enumerate(nodes):
        places = [
            (LEFT + at_s / last_s * (WIDTH - LEFT - 10), (1 - min(1.0, load[node])) * CURVE_HEIGHT)
            for at_s, load in samples
            if node in load
        ]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        colour = COLOURS[index % len(COLOURS)]
        body.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{points}"/>')
    return f'<svg viewBox="0 0 {WIDTH} {CURVE_HEIGHT + 6}" role="img">{"".join(body)}</svg>{keys(nodes)}'
