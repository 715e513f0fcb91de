"""The queue half of `simulate-cluster`: orders of waiting jobs, in virtual time."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.progress import Progress

from steelyard.cli.terminal import console, listing
from steelyard.cluster.node_table import NodeTable
from steelyard.config.job_plugins import make_ordering, make_placement
from steelyard.model.node import Node
from steelyard.policies.settings import PlacementSettings
from steelyard.reports.cluster_page import Curve, curves
from steelyard.reports.page import document, table
from steelyard.scheduling.options import PlanOptions
from steelyard.simulation.foresight import Blind, Foresight, Learned, Oracle
from steelyard.simulation.queue_report import QueueReport, summarise_queue
from steelyard.simulation.queue_run import JobOutcome, QueueRun, RunCosts
from steelyard.traces.job import TraceJob

DEFAULT_QUEUE_PLACEMENT = "best-fit"
DURATIONS: dict[str, Callable[[], Foresight]] = {"learned": Learned, "true": Oracle, "none": Blind}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """What holds for every order alike.

    durations: what is known of them, a key of DURATIONS. stop_s: what a checkpoint and a restart take, each.
    """

    durations: str = "learned"
    backfill: str = "easy"
    stop_s: float = 30.0
    seed: int = 42


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
    settings: QueueSettings,
    report: Path | None,
    as_json: bool,
) -> None:
    """Run every ordering with every placement; print and report."""
    results: list[tuple[QueueReport, list[JobOutcome]]] = []
    with Progress(console=console(stderr=True), transient=True, disable=as_json) as progress:
        for ordering in orderings:
            for placement in placements or (DEFAULT_QUEUE_PLACEMENT,):
                name = f"{ordering}, {placement}"
                bar = progress.add_task(name, total=len(jobs))
                run = _queue_run(nodes, ordering, placement, settings)
                run.on_start = lambda _id, _at, bar=bar: progress.advance(bar)
                outcomes = run.run(jobs)
                results.append((summarise_queue(name, outcomes, len(run.never), nodes), outcomes))
    if report is not None:
        known = {"learned": "learned from jobs that ended", "true": "known", "none": "not known"}
        source = f"{len(nodes):,} nodes, {len(jobs):,} jobs, durations {known[settings.durations]}"
        document(report, "steelyard simulate-cluster", source, _parts(results))
    if as_json:
        click.echo(json.dumps([each.as_json() for each, _ in results], indent=2))
        return
    shown = listing("", *(each.name for each, _ in results))
    for title, cells in _rows(results):
        shown.add_row(title, *cells)
    console().print(shown)
    if report is not None:
        click.echo(f"plots: {report}")


def _queue_run(nodes: Sequence[Node], ordering: str, placement: str, settings: QueueSettings) -> QueueRun:
    rng = random.Random(settings.seed)
    options = PlanOptions(
        ordering=make_ordering(ordering),
        placement=make_placement(placement, PlacementSettings(rng=rng)),
        backfill=settings.backfill,
        explain=False,
    )
    return QueueRun(
        table=NodeTable(nodes),
        options=options,
        foresight=DURATIONS[settings.durations](),
        costs=RunCosts(checkpoint_s=settings.stop_s, restart_s=settings.stop_s),
        gpus_per_node=max(int(node.capacity.gpus) for node in nodes),
    )


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
