"""A simulation as one HTML page: times, load, queues and cache hits of each policy; no script, no network."""

from collections.abc import Sequence
from pathlib import Path

from steelyard.model.metrics import percentile
from steelyard.reports.page import TTFT_LABEL, distribution, document, loads_plot, table
from steelyard.reports.svg_plot import Axis, from_zero, plot
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
    named = [(trial.report.policy, trial.served) for trial in trials]
    ttfts = [(name, [answer.ttft_s for answer in served]) for name, served in named]
    tpots = [(name, [a.tpot_s for a in served if a.output_tokens > 1]) for name, served in named]
    hits = [(name, [(100 * at, 100 * hit) for at, hit in hits_over_time(served)]) for name, served in named]
    rows = [
        (
            name,
            *(f"{percentile(times, share):.3f} s" for share in (0.5, 0.9, 0.99)),
            f"{trial.report.goodput_share:.1%}",
            f"{trial.report.hit_share:.1%}",
        )
        for (name, times), trial in zip(ttfts, trials, strict=True)
        if times
    ]
    head = ("policy", "TTFT p50", "p90", "p99", "in SLO", "prompt cached")
    most = max((hit for _, points in hits for _, hit in points), default=0.0)
    parts = [
        ("Figures", table(head, rows)),
        ("Time to first token", distribution(ttfts, TTFT_LABEL)),
        ("Time per output token", distribution(tpots, "seconds a token after the first")),
        (
            "Cache hits",
            plot(hits, Axis(0.0, 100.0, "% of the time"), from_zero(most, "% of prompt tokens cached")),
        ),
        *((trial.report.policy, _loads(trial)) for trial in trials),
    ]
    document(path, "steelyard simulate", f"Load: {source}", parts)


def _loads(trial: Trial) -> str:
    arrivals = [answer.arrival_s for answer in trial.answers]
    span_s = max(arrivals) - min(arrivals) if arrivals else 0.0
    return (
        f"<h3>Load a replica</h3>{loads_plot(trial.loads, span_s=span_s)}"
        f"<h3>Queue a replica</h3>{loads_plot(trial.queues, 'prompt tokens queued', span_s)}"
    )
