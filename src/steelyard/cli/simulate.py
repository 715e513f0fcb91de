"""`steelyard simulate`: policies on a trace, in virtual time."""

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from steelyard.cli.trace_argument import load_requests
from steelyard.config.plugins import check_policy_name, make_policy
from steelyard.engines.profiles import PROFILES, EngineProfile
from steelyard.policies.routing.registry import DEFAULT_POLICY
from steelyard.reports.objectives import Objective
from steelyard.reports.page import Series, write_page
from steelyard.simulation.fleet import SimulatedFleet
from steelyard.simulation.report import SimulationReport, summarise
from steelyard.traces.request import TraceRequest

DEFAULT_POLICIES = ("round-robin", "least-requests", DEFAULT_POLICY)
LOAD_SAMPLES = 200


@click.command()
@click.argument("trace")
@click.option("--policy", "policies", multiple=True, metavar="NAME", help="May be repeated.")
@click.option("--replicas", type=click.IntRange(1, 1024), default=8, show_default=True)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    type=click.Choice(list(PROFILES)),
    default=["llama2-70b-a100x4"],
    show_default=True,
    help="Of the engines; several are dealt out in turn.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="2 lets requests arrive twice as fast.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N requests.")
@click.option("--slo-ttft", type=float, default=2.0, show_default=True, help="Seconds to the first token.")
@click.option("--slo-tpot", type=float, default=0.1, show_default=True, help="Seconds a token after it.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML page with plots."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def simulate(
    trace: str,
    policies: tuple[str, ...],
    replicas: int,
    profiles: tuple[str, ...],
    speed: float,
    limit: int | None,
    slo_ttft: float,
    slo_tpot: float,
    seed: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """Try policies on TRACE (a file, or the word "generated") with the engines and the policies of the
    gateway, in virtual time.

    \b
    steelyard simulate generated --replicas 4 --limit 2000 --speed 2
    """
    names = policies or DEFAULT_POLICIES
    for name in names:
        check_policy_name(name)
    requests = [_sooner(request, speed) for request in load_requests(trace, limit, seed)]
    fleet = [PROFILES[profiles[slot % len(profiles)]] for slot in range(replicas)]
    objective = Objective(ttft_s=slo_ttft, tpot_s=slo_tpot)
    results: list[tuple[SimulationReport, Series]] = []
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        for name in names:
            bar = progress.add_task(name, total=len(requests))
            results.append(_run(name, fleet, requests, seed, objective, partial(progress.advance, bar)))
    if report is not None:
        source = f"{trace}, {len(requests)} requests at {speed:g} times their speed, {replicas} replicas"
        write_page(report, [series for _, series in results], source, title="steelyard simulate")
    if as_json:
        click.echo(json.dumps([result.as_json() for result, _ in results], indent=2))
        return
    Console().print(table_of([result for result, _ in results]))
    if report is not None:
        click.echo(f"plots: {report}")


def _sooner(request: TraceRequest, speed: float) -> TraceRequest:
    return request if speed == 1 else msgspec.structs.replace(request, arrival_s=request.arrival_s / speed)


def _run(
    name: str,
    profiles: list[EngineProfile],
    requests: list[TraceRequest],
    seed: int,
    objective: Objective,
    on_arrival: Callable[[], None],
) -> tuple[SimulationReport, Series]:
    """One policy's run, every one from the same seed."""
    rng = random.Random(seed)
    fleet = SimulatedFleet(profiles, make_policy(name, rng), rng, requests[0].block_tokens)
    loads: list[dict[str, float]] = []
    answers = fleet.run(
        requests,
        sample_every_s=max(requests[-1].arrival_s / LOAD_SAMPLES, 0.001),
        on_sample=lambda _: loads.append(
            dict(zip(fleet.fleet.ids, map(float, fleet.fleet.requests), strict=True))
        ),
        on_arrival=on_arrival,
    )
    served = [answer.ttft_s for answer in answers if not answer.refused]
    return summarise(name, answers, len(profiles), objective), (name, served, loads)


def table_of(reports: list[SimulationReport]) -> Table:
    """The reports for a terminal, one column a policy: figures do not outgrow 80 columns, names may wrap."""
    table = Table("", *(report.policy for report in reports), box=None)
    rows: list[tuple[str, Callable[[SimulationReport], str]]] = [
        ("TTFT p50, s", lambda report: f"{report.ttft_s.p50:.3f}"),
        ("TTFT p90, s", lambda report: f"{report.ttft_s.p90:.3f}"),
        ("TTFT p99, s", lambda report: f"{report.ttft_s.p99:.3f}"),
        ("TPOT p50, ms", lambda report: f"{report.tpot_s.p50 * 1e3:.1f}"),
        ("TPOT p99, ms", lambda report: f"{report.tpot_s.p99 * 1e3:.1f}"),
        ("in SLO", lambda report: f"{report.goodput_share:.1%}"),
        ("goodput, requests/s", lambda report: f"{report.goodput_per_s:.2f}"),
        ("output, tokens/s", lambda report: f"{report.output_tokens_per_s:,.0f}"),
        ("prompt tokens cached", lambda report: f"{report.hit_share:.1%}"),
        ("utilisation", lambda report: f"{report.utilisation:.3f}"),
        ("balance degree", lambda report: f"{report.balance_degree:.5f}"),
        ("refused", lambda report: str(report.refused)),
    ]
    for title, figure in rows:
        table.add_row(title, *map(figure, reports))
    return table
