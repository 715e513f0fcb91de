"""A simulation as one HTML page: times, load, queues and cache hits of each policy; no script, no network."""

import html
from collections.abc import Sequence
from pathlib import Path

from steelyard.model.metrics import percentile
from steelyard.reports.page import STYLE, distribution, loads_plot, plot
from steelyard.simulation.answer import Answer
from steelyard.simulation.trial import Trial

HIT_WINDOWS = 60


def hits_over_time(answers: Sequence[Answer]) -> list[tuple[float, float]]:
    """(place in the span 0..1, share of prompt tokens that were cached), a point a window."""
    if not answers:
        return []
    start_s = answers[0].arrival_s
    span_s = max(answers[-1].arrival_s - start_s, 1e-9)
    cached, prompts = [0] * HIT_WINDOWS, [0] * HIT_WINDOWS
    for answer in answers:
        window = min(HIT_WINDOWS - 1, int((answer.arrival_s - start_s) / span_s * HIT_WINDOWS))
        cached[window] += answer.cached_tokens
        prompts[window] += answer.prompt_tokens
    return [
        ((window + 0.5) / HIT_WINDOWS, hit / all_tokens)
        for window, (hit, all_tokens) in enumerate(zip(cached, prompts, strict=True))
        if all_tokens
    ]


def write_simulation_page(path: Path, trials: Sequence[Trial], source: str) -> None:
    """Write the report. Raises OSError."""
    title = "steelyard simulate"
    named = [(trial.report.policy, trial.served) for trial in trials]
    ttfts = [(name, [answer.ttft_s for answer in served]) for name, served in named]
    tpots = [(name, [a.tpot_s for a in served if a.output_tokens > 1]) for name, served in named]
    hits = plot([(name, hits_over_time(served)) for name, served in named], "time", "prompt tokens cached")
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{percentile(times, share):.3f} s</td>" for share in (0.5, 0.9, 0.99))
        + f"<td>{trial.report.goodput_share:.1%}</td><td>{trial.report.hit_share:.1%}</td></tr>"
        for (name, times), trial in zip(ttfts, trials, strict=True)
        if times
    )
    each = "".join(
        f"<h2>{html.escape(trial.report.policy)}</h2><h3>Load a replica</h3>{loads_plot(trial.loads)}"
        f"<h3>Queue a replica</h3>{loads_plot(trial.queues, 'prompt tokens queued')}"
        for trial in trials
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
        f"<style>{STYLE}</style><h1>{title}</h1><p>Load: {html.escape(source)}.</p>"
        "<table><tr><th>policy</th><th>TTFT p50</th><th>p90</th><th>p99</th><th>in SLO</th><th>cached</th>"
        f"</tr>{rows}</table><h2>Time to first token</h2>"
        f"{distribution(ttfts, 'seconds to the first token')}<h2>Time a token</h2>"
        f"{distribution(tpots, 'seconds a token after the first')}<h2>Cache hits</h2>{hits}{each}</html>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
