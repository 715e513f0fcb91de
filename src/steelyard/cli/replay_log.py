"""`steelyard replay-log`: yesterday's traffic under other policies, in virtual time."""

import json
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
from rich.progress import Progress
from rich.table import Table

from steelyard.cli.simulate import table_of as simulation_table
from steelyard.cli.terminal import console
from steelyard.config.plugins import check_policy_name, make_policy
from steelyard.engines.profiles import PROFILES
from steelyard.policies.routing.registry import DEFAULT_POLICY
from steelyard.reports.objectives import Objective, Quantiles
from steelyard.simulation.fleet import SimulatedFleet
from steelyard.simulation.report import SimulationReport, summarise
from steelyard.traces.access_log import LoggedTraffic, read_access_log

DEFAULT_PROFILE = "llama2-70b-a100x4"
OBJECTIVE = Objective(ttft_s=2.0, tpot_s=0.1)


@click.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--policy", "policies", multiple=True, metavar="NAME", help="May be repeated.")
@click.option("--pool", default="", help="Only requests of this pool.")
@click.option("--replicas", type=click.IntRange(1, 1024), help="Default: as many as served in the log.")
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    type=click.Choice(list(PROFILES)),
    default=[DEFAULT_PROFILE],
    show_default=True,
    help="Of the engines; several are dealt out in turn.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the last N requests.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def replay_log(
    log: Path,
    policies: tuple[str, ...],
    pool: str,
    replicas: int | None,
    profiles: tuple[str, ...],
    limit: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Ask what other policies would have done with the traffic of LOG, a gateway's access log.

    With access_log_decisions = true in the gateway's configuration the log also knows what prompts
    share, and prompt caches are simulated too.

    \b
    steelyard replay-log access.jsonl --policy least-requests --policy prefix-ttft
    """
    names = policies or ("least-requests", DEFAULT_POLICY)
    for name in names:
        check_policy_name(name)
    traffic = read_access_log(log, pool=pool, limit=limit)
    count = replicas or max(1, len(traffic.replicas))
    fleet = [profiles[slot % len(profiles)] for slot in range(count)]
    reports = compare(traffic, names, fleet, seed=seed, show=not as_json)
    logged = Quantiles.of(traffic.ttfts_s)
    if as_json:
        shown = [report.as_json() for report in reports]
        ttfts = {"p50": logged.p50, "p90": logged.p90, "p99": logged.p99} if traffic.ttfts_s else None
        click.echo(
            json.dumps({"logged_ttft_s": ttfts, "left_out": traffic.left_out, "simulated": shown}, indent=2)
        )
        return
    terminal = console()
    span_s = traffic.requests[-1].arrival_s
    terminal.print(
        f"{len(traffic.requests):,} requests in {span_s:,.0f} s on {count} replicas; "
        f"{traffic.left_out:,} lines left out",
    )
    if not traffic.hashed:
        terminal.print("the log does not say what prompts share: caches are taken to be of no use")
    if traffic.ttfts_s:
        terminal.print(
            f"as it was: TTFT p50 {logged.p50:.3f} s, p90 {logged.p90:.3f} s, p99 {logged.p99:.3f} s",
        )
    terminal.print(simulation_table(reports))


def compare(
    traffic: LoggedTraffic, policies: Sequence[str], profiles: Sequence[str], *, seed: int, show: bool = False
) -> list[SimulationReport]:
    """The same traffic under each policy, from the same seed."""
    reports = []
    with Progress(console=console(stderr=True), transient=True, disable=not show) as progress:
        for name in policies:
            bar = progress.add_task(name, total=len(traffic.requests))
            rng = random.Random(seed)
            fleet = SimulatedFleet(
                [PROFILES[profile] for profile in profiles],
                make_policy(name, rng),
                rng,
                traffic.requests[0].block_tokens,
            )
            answers = fleet.run(traffic.requests, on_arrival=partial(progress.advance, bar))
            reports.append(summarise(name, answers, len(profiles), OBJECTIVE))
    return reports


def table_of(reports: list[SimulationReport], title: str) -> Table:
    """The reports under a title."""
    table = simulation_table(reports)
    table.title = title
    return table
