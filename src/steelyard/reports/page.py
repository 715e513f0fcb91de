"""A self-contained HTML page with tables and plots: no script, no network."""

import html
import statistics
from collections.abc import Sequence
from pathlib import Path

from steelyard.model.metrics import percentile
from steelyard.reports.svg_plot import COLOURS, Axis, from_zero, plot

Series = tuple[str, list[float], list[dict[str, float]]]

TTFT_LABEL = "seconds to the first token"
STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b2430; --quiet: #5b6776; --line: #dfe3e8 }
@media (prefers-color-scheme: dark) {
  :root { --ground: #10151c; --ink: #dfe6ee; --quiet: #8d9aab; --line: #29323e }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--ground) }
h1 { font-size: 1.6rem; margin: 0 0 .3rem } h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem }
p.source { color: var(--quiet); margin: 0 0 1.2rem }
svg { width: 100%; height: auto; display: block; overflow: visible }
text { font-size: 12px; fill: var(--quiet) }
.axis { stroke: var(--quiet); fill: none } .grid { stroke: var(--line); fill: none }
.bar { fill: #fff; font-weight: 600 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums }
td, th { padding: .25rem 0 .25rem 1.2rem; text-align: right; white-space: nowrap }
td:first-child, th:first-child { padding-left: 0; text-align: left }
th { font-weight: 600 } tr { border-bottom: 1px solid var(--line) }
table.text :is(td, th) { text-align: left }
figure { margin: 0 }
.keys { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; font-size: .9rem }
.keys span { white-space: nowrap }
.keys i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px }
@media (max-width: 600px) { text { font-size: 20px } }
"""
__all__ = ["COLOURS", "STYLE", "distribution", "document", "loads_plot", "table", "write_page"]


def document(path: Path, title: str, source: str, parts: Sequence[tuple[str, str]]) -> Path:
    """Write headed pieces of HTML as a page; return its path. Raises OSError.

    source: of what the page tells, a sentence without its full stop; "" for none.
    """
    body = "".join(f"<h2>{html.escape(heading)}</h2>{part}" for heading, part in parts)
    told = f'<p class="source">{html.escape(source)}.</p>' if source else ""
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>{told}{body}</html>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, figures: bool = True) -> str:
    """A table of text. figures: whether all columns but the first hold numbers, which stand to the right."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    kind = "" if figures else ' class="text"'
    return f'<div class="scroll"><table{kind}><tr>{top}</tr>{body}</table></div>'


def distribution(series: Sequence[tuple[str, list[float]]], label: str) -> str:
    """Cumulative shares of positive values, a line a name, on a logarithmic axis."""
    values = [value for _, times in series for value in times if value > 0]
    if not values:
        return "<p>No answers.</p>"
    low = min(values)
    lines = [
        (name, [(max(low, percentile(times, step / 200)), step / 2) for step in range(201)])
        for name, times in series
        if times
    ]
    x = Axis(low, max(max(values), 1.001 * low), label, logarithmic=True)
    return plot(lines, x, Axis(0.0, 100.0, "% of requests"))


def loads_plot(
    samples: Sequence[dict[str, float]], label: str = "requests in flight", span_s: float = 0.0
) -> str:
    """A count of each replica over time; of many replicas the least, the middle and the most.

    span_s: seconds from the first sample to the last, which are equally far apart; 0 when it is not known.
    """
    names = sorted({name for sample in samples for name in sample})
    last = max(1, len(samples) - 1)
    x = Axis(0.0, span_s, "seconds") if span_s > 0 else Axis(0.0, float(last), "time", marked=False)
    times = [at / last * x.high for at in range(len(samples))]
    lines = [(name, [sample.get(name, 0.0) for sample in samples]) for name in names]
    if len(names) > len(COLOURS):
        sums = (("most loaded", max), ("median", statistics.median), ("least loaded", min))
        lines = [(name, [float(of(sample.values())) for sample in samples]) for name, of in sums]
    most = max((value for _, values in lines for value in values), default=0.0)
    points = [(name, list(zip(times, values, strict=True))) for name, values in lines]
    return plot(points, x, from_zero(most, label))


def write_page(path: Path, series: Sequence[Series], source: str, title: str = "steelyard demo") -> Path:
    """Write the report of a demo; return its path. Raises OSError."""
    rows = [
        (name, *(f"{percentile(times, share):.3f} s" for share in (0.5, 0.9, 0.99)))
        for name, times, _ in series
        if times
    ]
    times = [(name, times) for name, times, _ in series]
    parts = [
        ("Time to first token", table(("policy", "p50", "p90", "p99"), rows)),
        ("Its distribution", distribution(times, TTFT_LABEL)),
        *((f"Load a replica: {name}", loads_plot(samples)) for name, _, samples in series),
    ]
    return document(path, title, f"Load: {source}", parts)
