"""A self-contained HTML page with plots as inline SVG: no script, no network."""

import html
import math
from collections.abc import Sequence
from pathlib import Path

from steelyard.model.metrics import percentile

Series = tuple[str, list[float], list[dict[str, float]]]

TTFT_LABEL = "seconds to the first token"
WIDTH, HEIGHT, MARGIN = 720, 260, 44
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5")
STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 760px; margin: 2rem auto; padding: 0 1rem }
svg { width: 100%; height: auto }
text { font-size: 11px; fill: currentColor }
.axis { stroke: currentColor; opacity: .4 }
td, th { padding: .2rem .8rem .2rem 0; text-align: left }
.key { display: inline-block; width: .8em; height: .8em; margin-right: .3em }
"""


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{path}"/>'


def plot(
    lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], x_label: str, y_label: str, ticks: str = ""
) -> str:
    """A plot of lines whose points lie in the unit square, y upwards."""
    body = [
        f'<line class="axis" x1="{MARGIN}" y1="{HEIGHT - MARGIN}" x2="{WIDTH}" y2="{HEIGHT - MARGIN}"/>',
        f'<line class="axis" x1="{MARGIN}" y1="0" x2="{MARGIN}" y2="{HEIGHT - MARGIN}"/>',
        f'<text x="{WIDTH}" y="{HEIGHT - 8}" text-anchor="end">{html.escape(x_label)}</text>',
        f'<text x="4" y="12">{html.escape(y_label)}</text>',
        ticks,
    ]
    keys = []
    for at, (name, points) in enumerate(lines):
        colour = COLOURS[at % len(COLOURS)]
        scaled = [(_x(x), (1 - y) * (HEIGHT - MARGIN)) for x, y in points]
        body.append(_line(scaled, colour))
        keys.append(f'<span><i class="key" style="background:{colour}"></i>{html.escape(name)}</span>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(body)}</svg><p>{" &nbsp; ".join(keys)}</p>'
    )


def _x(unit: float) -> float:
    return MARGIN + unit * (WIDTH - MARGIN)


def distribution(series: Sequence[tuple[str, list[float]]], label: str) -> str:
    """Cumulative shares of positive values, a line a name, on a logarithmic axis."""
    values = [value for _, ttfts in series for value in ttfts if value > 0]
    if not values:
        return "<p>No answers.</p>"
    low, high = math.log10(min(values)), math.log10(max(values)) + 1e-9

    def place(value: float) -> float:
        return (math.log10(max(value, 10**low)) - low) / (high - low)

    lines = [
        (name, [(place(percentile(ttfts, step / 200)), step / 200) for step in range(201)])
        for name, ttfts in series
        if ttfts
    ]
    decades = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)]
    ticks = "".join(
        f'<text x="{_x(place(decade)):.0f}" y="{HEIGHT - 26}" text-anchor="middle">{decade:g}</text>'
        for decade in decades
    )
    return plot(lines, label, "share of requests", ticks)


def loads_plot(samples: Sequence[dict[str, float]], label: str = "requests in flight") -> str:
    """A count of each replica over time."""
    names = sorted({name for sample in samples for name in sample})
    most = max((value for sample in samples for value in sample.values()), default=0.0) or 1.0
    last = max(1, len(samples) - 1)
    lines = [
        (name, [(at / last, sample.get(name, 0.0) / most) for at, sample in enumerate(samples)])
        for name in names
    ]
    return plot(lines, "time", f"{label} (top: {most:g})")


def write_page(path: Path, series: Sequence[Series], source: str, title: str = "steelyard demo") -> Path:
    """Write the report of a demo or a simulation; return its path. Raises OSError."""
    title = html.escape(title)
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{percentile(ttfts, q):.3f} s</td>" for q in (0.5, 0.9, 0.99))
        + "</tr>"
        for name, ttfts, _ in series
        if ttfts
    )
    times = [(name, ttfts) for name, ttfts, _ in series]
    loads = "".join(
        f"<h2>Load a replica: {html.escape(name)}</h2>{loads_plot(samples)}" for name, _, samples in series
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
        f"<style>{STYLE}</style><h1>{title}</h1><p>Load: {html.escape(source)}.</p>"
        f"<table><tr><th>policy</th><th>TTFT p50</th><th>p90</th><th>p99</th></tr>{rows}</table>"
        f"<h2>Time to first token</h2>{distribution(times, 'seconds to the first token')}{loads}</html>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path
