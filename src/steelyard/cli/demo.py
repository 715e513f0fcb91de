"""`steelyard demo`: the whole story on one machine."""

import functools
import random
import sys
from pathlib import Path

import click
import uvloop
from rich.progress import Progress
from rich.table import Table

from steelyard.cli import exit_codes
from steelyard.cli.demo_caches import caches
from steelyard.cli.demo_jobs import jobs
from steelyard.cli.demo_seed_math import seed_math
from steelyard.cli.finite import FiniteRange
from steelyard.cli.terminal import console, listing
from steelyard.demo.fleet import POLICIES, PolicyRun, run_policy
from steelyard.reports.objectives import Objective
from steelyard.reports.page import write_page
from steelyard.traces.generator import generate_conversation
from steelyard.traces.readers import AZURE_CONVERSATION, data_folder, read_trace
from steelyard.traces.request import TraceRequest

# Emulated time runs this much faster than the clock, so that half an hour of traffic takes half a minute.
TIME_SCALE = 10.0
RATE_PER_S = 9.0  # emulated requests a second: about three quarters of what six engines carry
OBJECTIVE = Objective(ttft_s=1.0 / TIME_SCALE, tpot_s=0.15 / TIME_SCALE)


@click.group(invoke_without_command=True)
@click.pass_context
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out/demo"),
    show_default=True,
    help="For the report.",
)
@click.option("--seconds", type=FiniteRange(min=3), default=30.0, show_default=True, help="A policy.")
@click.option("--policy", "policies", multiple=True, help="Only these; may be repeated.")
def demo(ctx: click.Context, out: Path, seconds: float, policies: tuple[str, ...]) -> None:
    """Watch six engines, real traffic, three policies, and an engine that dies and comes back.

    
    steelyard demo jobs       ten tasks on five nodes, of which one runs hot and one dies
    steelyard demo caches     four nginx caches behind the hash ring, of which one dies
    steelyard demo seed-math  the seed's formulas beside its numbers
    """
    if ctx.invoked_subcommand is not None:
        return
    terminal = console()
    requests, source = load(seconds)
    terminal.print(f"{len(requests)} requests a policy from {source}")
    terminal.print("six engines of three speeds; one is killed a third in and is back at two thirds")
    speed = requests[-1].arrival_s / seconds
    runs: list[PolicyRun] = []
    with Progress(console=terminal, transient=True) as progress:
        for policy in policies or POLICIES:
            bar = progress.add_task(policy, total=len(requests))
            advance = functools.partial(progress.advance, bar)
            runs.append(uvloop.run(run_policy(policy, requests, speed, TIME_SCALE, OBJECTIVE, advance)))
    terminal.print(table_of(runs))
    page = write_page(out / "report.html", [_series(run) for run in runs], source)
    terminal.print(f"report with plots: {page}")
    lost = sum(run.report.lost for run in runs)
    for run in runs:
        for error in run.report.first_errors if run.report.lost else ():
            terminal.print(f"{run.policy}: {error}")
    sys.exit(exit_codes.FAILED if lost else exit_codes.DONE)


demo.add_command(caches)
demo.add_command(jobs)
demo.add_command(seed_math)


def load(seconds: float) -> tuple[list[TraceRequest], str]:
    """As many requests as the fleet can just carry in the given time, and where they come from."""
    count = int(RATE_PER_S * TIME_SCALE * seconds)
    folder = data_folder()
    if folder is not None and (path := folder / AZURE_CONVERSATION).exists():
        return read_trace(path, count), "the Azure 2023 conversation trace"
    return generate_conversation(
        count, random.Random(7)
    ), "the shipped generator (fitted to Azure 2023 conversation)"


def table_of(runs: list[PolicyRun]) -> Table:
    """One row a policy; times in emulated seconds."""
    columns = (
        "policy",
        "TTFT p50",
        "TTFT p99",
        "goodput",
        "in SLO",
        "utilisation",
        "balance degree",
        "lost",
        "cut",
    )
    made = listing(*columns, title=f"emulated seconds ({TIME_SCALE:g} to one on the clock)")
    for run in runs:
        report = run.report
        made.add_row(
            run.policy,
            f"{report.ttft_s.p50 * TIME_SCALE:.3f} s",
            f"{report.ttft_s.p99 * TIME_SCALE:.3f} s",
            f"{report.goodput_per_s / TIME_SCALE:.2f}/s",
            f"{report.goodput_share:.1%}",
            f"{run.utilisation:.3f}",
            f"{run.balance_degree:.2f}",
            str(report.lost),
            str(report.kinds.get("cut", 0)),
        )
    made.caption = (
        f"SLO: first token in {OBJECTIVE.ttft_s * TIME_SCALE:g} s, "
        f"then {OBJECTIVE.tpot_s * TIME_SCALE:g} s a token; "
        "lost: failed before any of the answer; cut: the killed engine's streams that had begun"
    )
    return made


def _series(run: PolicyRun) -> tuple[str, list[float], list[dict[str, float]]]:
    ttfts = [outcome.ttft_s * TIME_SCALE for outcome in run.outcomes if outcome.kind == "ok"]
    return run.policy, sorted(ttfts), run.samples
