"""`steelyard replay`: a trace against an endpoint."""

import json
import math
import sys

import click
import uvloop
from rich.progress import Progress
from rich.table import Table

from steelyard.cli import exit_codes
from steelyard.cli.finite import FiniteRange
from steelyard.cli.terminal import console, listing
from steelyard.cli.trace_argument import load_requests
from steelyard.replay.report import ReplayReport, summarise
from steelyard.replay.run import replay as run_replay
from steelyard.reports.objectives import Objective


@click.command()
@click.argument("trace")
@click.option("--to", "url", required=True, metavar="URL", help="The endpoint, http://HOST:PORT.")
@click.option("--model", default="emulated", show_default=True, help="The model to ask for.")
@click.option(
    "--speed",
    type=FiniteRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="2 sends twice as fast.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N requests.")
@click.option(
    "--slo-ttft", type=FiniteRange(min=0), default=2.0, show_default=True, help="Seconds to the first token."
)
@click.option(
    "--slo-tpot", type=FiniteRange(min=0), default=0.1, show_default=True, help="Seconds a token after it."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of generated requests.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def replay(
    trace: str,
    url: str,
    model: str,
    speed: float,
    limit: int | None,
    slo_ttft: float,
    slo_tpot: float,
    seed: int,
    as_json: bool,
) -> None:
    """Replay TRACE (a file, or the word "generated") against an endpoint, open loop.

    Exit code 1 when an answer failed or was cut; requests refused with 429 or 503 are told, and no failure.

    \b
    steelyard replay generated --to http://127.0.0.1:8080 --limit 200
    """
    requests = load_requests(trace, limit, seed)
    terminal = console(stderr=True)
    with Progress(console=terminal, transient=True, disable=as_json or not terminal.is_terminal) as progress:
        bar = progress.add_task("replaying", total=len(requests))
        outcomes, span_s = uvloop.run(
            run_replay(requests, url, model=model, speed=speed, done=lambda: progress.advance(bar))
        )
    report = summarise(outcomes, span_s, Objective(ttft_s=slo_ttft, tpot_s=slo_tpot))
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        console().print(table_of(report))
        click.echo(summary_of(report))
    sys.exit(exit_codes.FAILED if report.broken else exit_codes.DONE)


def table_of(report: ReplayReport) -> Table:
    """The report for a terminal."""
    made = listing("", "p50", "p90", "p99")
    for name, quantiles in (("TTFT", report.ttft_s), ("TPOT", report.tpot_s), ("total", report.total_s)):
        made.add_row(name, *(_milliseconds(value) for value in (quantiles.p50, quantiles.p90, quantiles.p99)))
    return made


def _milliseconds(value_s: float) -> str:
    return "–" if math.isnan(value_s) else f"{value_s * 1e3:,.1f} ms"


def summary_of(report: ReplayReport) -> str:
    """How it ended: one line, and one for each of the first errors."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.kinds.items()))
    line = (
        f"{report.requests} requests in {report.span_s:.1f} s: {kinds}; "
        f"goodput {report.goodput_per_s:.2f}/s ({report.goodput_share:.1%})"
    )
    return "\n".join([line, *report.first_errors])
