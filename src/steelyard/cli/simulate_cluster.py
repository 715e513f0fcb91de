"""`steelyard simulate-cluster`: placement policies, and orders of a queue, on a cluster's trace."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
from rich.progress import Progress
from rich.table import Table

from steelyard.cli.cluster_argument import GENERATED, cluster_of, holds_jobs, jobs_of, nodes_of
from steelyard.cli.cluster_queue import DURATIONS, QueueSettings, simulate_queue
from steelyard.cli.finite import FiniteRange
from steelyard.cli.terminal import console, listing
from steelyard.model.errors import ConfigError
from steelyard.policies.placement.registry import DEFAULT_PLACEMENT, PLACEMENTS
from steelyard.reports.cluster_page import Curve, bars, curves
from steelyard.reports.page import document, table
from steelyard.scheduling.options import BACKFILLS
from steelyard.simulation.cluster_load import INFLATED, LOADS
from steelyard.simulation.placement_report import PlacementReport, mean_curve
from steelyard.simulation.placement_run import PlacementRun
from steelyard.simulation.placement_trials import Trial

DEFAULT_PLACEMENTS = ("random", "best-fit", "fgd", DEFAULT_PLACEMENT)
Results = list[tuple[PlacementReport, list[PlacementRun]]]


@click.command(name="simulate-cluster")
@click.option("--nodes", metavar="FILE|SIZE", help="A CSV file, or COUNTxGPUS[xCORES], such as 64x8.")
@click.option("--tasks", default=GENERATED, metavar="FILE", help="A CSV file of tasks or of jobs.")
@click.option("--placement", "placements", multiple=True, metavar="NAME", help="May be repeated.")
@click.option("--ordering", "orderings", multiple=True, metavar="NAME", help="Of a queue; may be repeated.")
@click.option(
    "--durations",
    type=click.Choice(list(DURATIONS)),
    default="learned",
    show_default=True,
    help="Queue: what is known of them.",
)
@click.option(
    "--backfill",
    type=click.Choice(BACKFILLS),
    default="easy",
    show_default=True,
    help="Queue: who may pass the first that waits.",
)
@click.option("--load", type=click.Choice(LOADS), default=INFLATED, show_default=True)
@click.option(
    "--demand",
    type=FiniteRange(min=0, min_open=True, max=10),
    default=1.3,
    show_default=True,
    help="Inflated load: what is asked for, as a share of the cluster.",
)
@click.option(
    "--used",
    type=FiniteRange(min=0, min_open=True, max=1),
    default=0.9,
    show_default=True,
    help="Churning load: what runs, as a share of the cluster.",
)
@click.option("--arrivals", type=click.IntRange(min=1), default=20_000, help="Churning load: tasks.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N tasks or jobs.")
@click.option("--ties", type=click.Choice(("name", "random")), default="name", show_default=True)
@click.option("--mix", type=click.Choice(("known", "learned")), default="known", show_default=True)
@click.option("--seed", type=int, default=42, show_default=True)
@click.option("--seeds", type=click.IntRange(1, 1000), default=1, show_default=True, help="From --seed on.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML page.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def simulate_cluster(
    nodes: str | None,
    tasks: str,
    placements: tuple[str, ...],
    orderings: tuple[str, ...],
    durations: str,
    backfill: str,
    load: str,
    demand: float,
    used: float,
    arrivals: int,
    limit: int | None,
    ties: str,
    mix: str,
    seed: int,
    seeds: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """Try placement policies on a cluster; with --ordering, on its queue in virtual time.

    \b
    steelyard simulate-cluster
    steelyard simulate-cluster --nodes openb_nodes.csv --tasks openb_tasks.csv --seeds 10 --report out.html
    steelyard simulate-cluster --nodes 64x8 --tasks philly_jobs.csv.gz --ordering fifo --ordering shortest
    """
    if orderings:
        if not holds_jobs(tasks) or nodes is None:
            raise ConfigError("--ordering needs --nodes and, as --tasks, a trace of jobs with durations")
        settings = QueueSettings(durations=durations, backfill=backfill, seed=seed)
        jobs = jobs_of(tasks, limit)
        simulate_queue(nodes_of(nodes), jobs, orderings, placements, settings, report, as_json)
        return
    trial = Trial(
        trace=cluster_of(nodes, tasks, limit, seed),
        load=load,
        demand=demand,
        used=used,
        arrivals=arrivals,
        random_ties=ties == "random",
        known_mix=mix == "known",
    )
    names = placements or DEFAULT_PLACEMENTS
    results = _run(trial, names, range(seed, seed + seeds), quiet=as_json)
    if report is not None:
        document(report, "steelyard simulate-cluster", _source(trial, seeds), _parts(results))
    if as_json:
        click.echo(json.dumps([each.as_json() for each, _ in results], indent=2))
        return
    console().print(table_of(results))
    if hopeless := trial.tasks_too_large():
        click.echo(f"{hopeless} tasks of the trace fit on no node, however empty")
    if report is not None:
        click.echo(f"plots: {report}")


def _run(trial: Trial, names: tuple[str, ...], seeds: range, quiet: bool) -> Results:
    for name in names:
        if name not in PLACEMENTS:
            trial.run(name, seeds[0])  # says what is known
    results: Results = []
    with Progress(console=console(stderr=True), transient=True, disable=quiet) as progress:
        for name in names:
            total = sum(1 for _ in trial.events(seeds[0])) * len(seeds)
            bar = progress.add_task(name, total=total)
            results.append(trial.compare(name, seeds, partial(progress.advance, bar)))
    return results


def _source(trial: Trial, seeds: int) -> str:
    of = f"{trial.capacity_text()}, {len(trial.trace.tasks):,} tasks of {trial.trace.name}"
    loads = {
        "inflated": f"arrivals only, until {trial.demand:.0%} of the cluster had been asked for",
        "churn": f"{trial.arrivals:,} arrivals, tasks leaving at random, {trial.used:.0%} in use",
        "recorded": "arrivals and ends as recorded",
    }
    return f"{of}; {loads[trial.load]}; means of {seeds} seed{'s' if seeds > 1 else ''}"


ROWS: list[tuple[str, Callable[[PlacementReport], str]]] = [
    ("allocated at the end, %", lambda each: f"{each.allocated:.2f} ± {each.allocated_deviation:.2f}"),
    ("… when 100 % had arrived", lambda each: f"{each.allocated_at_100:.2f}"),
    ("… at most", lambda each: f"{each.peak_allocated:.2f}"),
    ("… mean over arrivals", lambda each: f"{each.mean_allocated:.2f}"),
    ("fragmented, %", lambda each: f"{each.fragmented:.2f}"),
    ("tasks", lambda each: f"{each.arrivals:,.0f}"),
    ("refused", lambda each: f"{each.refused:,.0f}"),
    ("refused, % of demand", lambda each: f"{each.refused_percent:.2f}"),
    ("utilisation of nodes", lambda each: f"{each.utilisation:.3f}"),
    ("balance degree", lambda each: f"{each.balance_degree:.5f}"),
    ("placements/s, one core", lambda each: f"{each.placements_per_s:,.0f}"),
]


def table_of(results: Results) -> Table:
    """One column a policy."""
    shown = listing("", *(each.policy for each, _ in results))
    for title, figure in ROWS:
        shown.add_row(title, *(figure(each) for each, _ in results))
    return shown


def _parts(results: Results) -> list[tuple[str, str]]:
    """The page's tables and plots."""
    reports = [each for each, _ in results]
    by_curve = [(report.policy, mean_curve(runs)) for report, runs in results]
    allocated = [
        Curve(name, [(100 * point.arrived, 100 * point.allocated) for point in points])
        for name, points in by_curve
    ]
    late = [Curve(line.name, [(x, y) for x, y in line.points if x >= 80]) for line in allocated]
    fragmented = [
        Curve(name, [(100 * point.arrived, 100 * point.fragmented) for point in points])
        for name, points in by_curve
    ]
    reasons = list(dict.fromkeys(reason for each in reports for reason in each.refusals))
    refused = [(reason, *(str(each.refusals.get(reason, 0)) for each in reports)) for reason in reasons]
    models = {
        model: {each.policy: each.model_used.get(model, 0.0) for each in reports}
        for model in reports[0].model_used
    }
    names = [each.policy for each in reports]
    head = table(["", *names], [(title, *(figure(each) for each in reports)) for title, figure in ROWS])
    return [
        ("Figures", head),
        ("Allocated, by demand that has arrived", curves(allocated, "arrived, %", "allocated, %")),
        ("The same near the end", curves(late, "arrived, %", "allocated, %", whole=False)),
        ("Fragmented, by demand that has arrived", curves(fragmented, "arrived, %", "fragmented, %")),
        ("Tasks refused, by what ruled out most nodes", table(["", *names], refused)),
        ("In use at the peak, by GPU model (first seed)", bars(models, "%")),
    ]
