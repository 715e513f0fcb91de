"""The queue half of `simulate-cluster`: orders of waiting jobs, in virtual time."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from steelyard.cluster.node_table import NodeTable
from steelyard.model.node import Node
from steelyard.policies.ordering.registry import make_ordering
from steelyard.policies.placement.registry import make_placement
from steelyard.policies.settings import PlacementSettings
from steelyard.reports.cluster_page import Curve, curves, table, write_cluster_page
from steelyard.scheduling.options import PlanOptions
from steelyard.simulation.foresight import Learned
from steelyard.simulation.queue_report import QueueReport, summarise_queue
from steelyard.simulation.queue_run import JobOutcome, QueueRun
from steelyard.traces.job import TraceJob

DEFAULT_QUEUE_PLACEMENT = "best-fit"
ROWS = (
    ("mean completion, s", "mean_completion_s", "{:,.0f}"),
    ("median completion, s", "median_completion_s", "{:,.0f}"),
    ("p99 completion, s", "p99_completion_s", "{:,.0f}"),
    ("mean wait, s", "mean_wait_s", "{:,.0f}"),
    ("makespan, s", "makespan_s", "{:,.0f}"),
    ("in use, mean %", "mean_used_percent", "{:.1f}"),
    ("stops", "stops", "{:,}"),
    ("deadlines met, %", "deadlines_met_percent", "{:.1f}"),
    ("jobs", "jobs", "{:,}"),
    ("never started", "never", "{:,}"),
)


def simulate_queue(
    nodes: Sequence[Node],
    jobs: Sequence[TraceJob],
    orderings: Sequence[str],
    placements: Sequence[str],
    seed: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """Run every ordering with every placement, durations learned from jobs that ended; print and report."""
    results: list[tuple[QueueReport, list[JobOutcome]]] = []
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        for ordering in orderings:
            for placement in placements or (DEFAULT_QUEUE_PLACEMENT,):
                name = f"{ordering}, {placement}"
                bar = progress.add_task(name, total=len(jobs))
                run = _queue_run(nodes, ordering, placement, seed)
                run.on_start = lambda _id, _at, bar=bar: progress.advance(bar)
                outcomes = run.run(jobs)
                results.append((summarise_queue(name, outcomes, len(run.never), nodes), outcomes))
    if report is not None:
        source = f"{len(nodes):,} nodes, {len(jobs):,} jobs, durations learned from jobs that ended"
        write_cluster_page(report, "steelyard simulate-cluster", source, _parts(results))
    if as_json:
        click.echo(json.dumps([each.as_json() for each, _ in results], indent=2))
        return
    shown = Table("", *(each.name for each, _ in results), box=None)
    for title, cells in _rows(results):
        shown.add_row(title, *cells)
    Console().print(shown)
    if report is not None:
        click.echo(f"plots: {report}")


def _queue_run(nodes: Sequence[Node], ordering: str, placement: str, seed: int) -> QueueRun:
    settings = PlacementSettings(rng=random.Random(seed))
    options = PlanOptions(
        ordering=make_ordering(ordering), placement=make_placement(placement, settings), explain=False
    )
    widest = max(int(node.capacity.gpus) for node in nodes)
    return QueueRun(table=NodeTable(nodes), options=options, foresight=Learned(), gpus_per_node=widest)


def _rows(results: Sequence[tuple[QueueReport, list[JobOutcome]]]) -> list[tuple[str, list[str]]]:
    return [
        (title, [figure.format(getattr(report, attribute)) for report, _ in results])
        for title, attribute, figure in ROWS
    ]


def _parts(results: Sequence[tuple[QueueReport, list[JobOutcome]]]) -> list[tuple[str, str]]:
    names = [report.name for report, _ in results]
    completions = []
    for report, outcomes in results:
        ordered = sorted(outcome.completion_s / 3600 for outcome in outcomes)
        last = max(1, len(ordered) - 1)
        points = [(ordered[at * last // 200], at / 2) for at in range(201)] if ordered else []
        completions.append(Curve(report.name, points))
    return [
        ("Figures", table(["", *names], [(title, *cells) for title, cells in _rows(results)])),
        ("Jobs that ended within a time of their submission", curves(completions, "hours", "% of jobs")),
    ]
