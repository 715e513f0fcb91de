"""`steelyard shadow`: how often the shadow policy differs, and what the simulator expects of that."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from steelyard.cli.admin_client import DEFAULT_ADMIN, read_admin
from steelyard.cli.replay_log import DEFAULT_PROFILE, compare, table_of
from steelyard.cli.terminal import console, listing
from steelyard.engines.profiles import PROFILES
from steelyard.simulation.report import SimulationReport
from steelyard.traces.access_log import read_access_log

LINES = 20_000


@click.command()
@click.option("--admin", default=DEFAULT_ADMIN, show_default=True, help="The gateway's admin port.")
@click.option(
    "--log",
    type=click.Path(path_type=Path),
    help="Simulate both policies on this access log. Default: the gateway's own, where it has one.",
)
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default=DEFAULT_PROFILE,
    show_default=True,
    help="Engine to simulate.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def shadow(admin: str, log: Path | None, profile: str, as_json: bool) -> None:
    """Say how often each shadow policy would have chosen another replica, and what would come of it."""
    report = read_admin(admin, "shadow")
    if not report["pools"]:
        raise click.ClickException('no pool has a shadow: add shadow = "POLICY" to a pool')
    path = log or (Path(report["access_log"]) if report["access_log"] else None)
    terminal = console()
    for pool in report["pools"]:
        simulated: list[SimulationReport] = []
        if path is not None and path.is_file():
            traffic = read_access_log(path, pool=pool["pool"], limit=LINES)
            simulated = compare(traffic, (pool["live"], pool["shadow"]), [profile] * pool["replicas"], seed=1)
        pool["simulated"] = [each.as_json() for each in simulated]
        if not as_json:
            _show(terminal, pool, simulated)
    if as_json:
        click.echo(json.dumps(report, indent=2))


def _show(terminal: Console, pool: dict[str, Any], simulated: list[SimulationReport]) -> None:
    terminal.print(
        f"pool {pool['pool']}: {pool['shadow']} beside {pool['live']}: {pool['decisions']:,} decisions, "
        f"another replica in {pool['different_share']:.1%} of them",
    )
    if pool["failures"]:
        terminal.print(f"  the shadow failed {pool['failures']} times")
    if pool["scored"]:
        mean = pool["worse_score"] / pool["scored"]
        terminal.print(
            f"  where {pool['live']} had scored the shadow's choice too, it held it to be "
            f"worse by {mean:.4g} on average",
        )
    if pool["pairs"]:
        made = listing(pool["live"], pool["shadow"], "differed")
        for pair in pool["pairs"][:10]:
            made.add_row(pair["live"], pair["shadow"], f"{pair['count']:,}")
        terminal.print(made)
    if simulated:
        terminal.print(table_of(simulated, "what the simulator expects of each, on the logged traffic"))
    else:
        terminal.print("  no access log to simulate on: give one with --log")
