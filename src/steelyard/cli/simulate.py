"""`steelyard simulate`: policies on a trace, in virtual time."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
from rich.progress import Progress
from rich.table import Table

from steelyard.cli.finite import FiniteRange
from steelyard.cli.terminal import console, listing
from steelyard.cli.trace_argument import at_speed, load_requests
from steelyard.config.plugins import check_policy_name, make_policy
from steelyard.engines.profiles import PROFILES
from steelyard.model.chance import Rng
from steelyard.model.routing_policy import RoutingPolicy
from steelyard.policies.routing.registry import DEFAULT_POLICY
from steelyard.reports.objectives import Objective
from steelyard.simulation.oracle import ORACLE, Oracle
from steelyard.simulation.page import write_simulation_page
from steelyard.simulation.report import SimulationReport
from steelyard.simulation.scenario import read_scenario
from steelyard.simulation.trial import SAMPLES, Trial, try_policy

DEFAULT_POLICIES = ("round-robin", "least-requests", DEFAULT_POLICY)


@click.command()
@click.argument("trace")
@click.option(
    "--policy", "policies", multiple=True, metavar="NAME", help='May be repeated; "oracle" sees the caches.'
)
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
    "speeds",
    multiple=True,
    type=FiniteRange(min=0, min_open=True),
    default=[1.0],
    show_default=True,
    help="2 lets requests arrive twice as fast. May be repeated.",
)
@click.option(
    "--scenario",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A TOML file of replicas that fail, recover, slow down, drain or join.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N requests.")
@click.option(
    "--slo-ttft", type=FiniteRange(min=0), default=2.0, show_default=True, help="Seconds to the first token."
)
@click.option(
    "--slo-tpot", type=FiniteRange(min=0), default=0.1, show_default=True, help="Seconds a token after it."
)
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
    speeds: tuple[float, ...],
    scenario: Path | None,
    limit: int | None,
    slo_ttft: float,
    slo_tpot: float,
    seed: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """Try policies on TRACE with the engines and the policies of the gateway, in virtual time.

    TRACE is a file (Azure, Mooncake, the gateway's access log, CSV or JSON lines) or a generated load:
    generated, poisson, gamma, diurnal, groups, sessions, with settings behind a colon.

    \b
    steelyard simulate generated --replicas 4 --limit 2000 --speed 2
    steelyard simulate sessions:rate=2,think=15 --limit 2000 --report out.html
    """
    names = policies or DEFAULT_POLICIES
    for name in names:
        if name != ORACLE:
            check_policy_name(name)
    loaded = load_requests(trace, limit, seed)
    events = read_scenario(scenario, replicas) if scenario is not None else []
    fleet = [PROFILES[profiles[slot % len(profiles)]] for slot in range(replicas)]
    objective = Objective(ttft_s=slo_ttft, tpot_s=slo_tpot)
    trials: list[Trial] = []
    with Progress(console=console(stderr=True), transient=True, disable=as_json) as progress:
        for speed in speeds:
            requests = at_speed(loaded, speed)
            for name in names:
                title = name if len(speeds) == 1 else f"{name} ×{speed:g}"
                bar = progress.add_task(title, total=len(requests))
                trials.append(
                    try_policy(
                        title,
                        partial(_make, name),
                        fleet,
                        requests,
                        seed=seed,
                        objective=objective,
                        events=events,
                        samples=SAMPLES if report is not None else 0,
                        on_arrival=partial(progress.advance, bar),
                    )
                )
    if report is not None:
        pace = " and ".join(f"{speed:g}" for speed in speeds)
        source = f"{trace}, {len(loaded):,} requests on {replicas} replicas"
        source += "" if speeds == (1.0,) else f", at {pace} times their speed"
        write_simulation_page(report, trials, source)
    if as_json:
        click.echo(json.dumps([trial.report.as_json() for trial in trials], indent=2))
        return
    console().print(table_of([trial.report for trial in trials]))
    if report is not None:
        click.echo(f"plots: {report}")


def _make(name: str, rng: Rng) -> RoutingPolicy:
    return Oracle(rng) if name == ORACLE else make_policy(name, rng)


def table_of(reports: list[SimulationReport]) -> Table:
    """The reports for a terminal, one column a policy: figures do not outgrow 80 columns, names may wrap."""
    made = listing("", *(report.policy for report in reports))
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
        ("lost", lambda report: str(report.lost)),
    ]
    for title, figure in rows:
        made.add_row(title, *map(figure, reports))
    return made
