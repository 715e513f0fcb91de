"""`steelyard plan`: how many replicas a load needs."""

import json
import re

import click
from rich.progress import Progress
from rich.table import Table

from steelyard.cli.finite import FiniteRange
from steelyard.cli.terminal import console, listing
from steelyard.cli.trace_argument import at_speed, load_requests
from steelyard.config.plugins import check_policy_name, make_policy
from steelyard.engines.profiles import PROFILES
from steelyard.model.errors import ConfigError
from steelyard.policies.routing.registry import DEFAULT_POLICY
from steelyard.reports.objectives import Objective
from steelyard.simulation.planning import Plan, fewest_replicas
from steelyard.simulation.report import SimulationReport
from steelyard.simulation.trial import try_policy

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")


def read_objective(text: str) -> Objective:
    """From "ttft=2s,tpot=50ms". Raises ConfigError."""
    times = {"ttft": 2.0, "tpot": 0.1}
    for part in text.split(","):
        name, _, value = part.partition("=")
        match = _DURATION.fullmatch(value.strip())
        if name.strip() not in times or match is None or not float(match[1]):
            raise ConfigError(f"slo is {text!r}: it must look like ttft=2s,tpot=50ms")
        times[name.strip()] = float(match[1]) * (0.001 if match[2] == "ms" else 1.0)
    return Objective(ttft_s=times["ttft"], tpot_s=times["tpot"])


@click.command()
@click.argument("trace")
@click.option("--slo", default="ttft=2s,tpot=100ms", show_default=True, help="What a request is held to.")
@click.option(
    "--share",
    type=FiniteRange(min=0, max=1, min_open=True),
    default=0.95,
    show_default=True,
    help="Of requests that must be in the SLO.",
)
@click.option("--policy", default=DEFAULT_POLICY, show_default=True)
@click.option("--profile", type=click.Choice(list(PROFILES)), default="llama2-70b-a100x4", show_default=True)
@click.option("--most", type=click.IntRange(1, 1024), default=256, show_default=True, help="Replicas to try.")
@click.option("--speed", type=FiniteRange(min=0, min_open=True), default=1.0, show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N requests.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def plan(
    trace: str,
    slo: str,
    share: float,
    policy: str,
    profile: str,
    most: int,
    speed: float,
    limit: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Find the fewest replicas that hold the SLO on TRACE, with the curve beside it.

    \b
    steelyard plan generated --limit 2000 --speed 4 --slo ttft=2s,tpot=50ms
    """
    check_policy_name(policy)
    objective = read_objective(slo)
    requests = at_speed(load_requests(trace, limit, seed), speed)
    with Progress(console=console(stderr=True), transient=True, disable=as_json) as progress:

        def run(replicas: int) -> SimulationReport:
            bar = progress.add_task(f"{replicas} replicas", total=len(requests))
            return try_policy(
                policy,
                lambda rng: make_policy(policy, rng),
                [PROFILES[profile]] * replicas,
                requests,
                seed=seed,
                objective=objective,
                samples=0,
                on_arrival=lambda: progress.advance(bar),
            ).report

        found = fewest_replicas(run, share, most)
    if as_json:
        curve = {str(replicas): report.as_json() for replicas, report in found.curve.items()}
        click.echo(json.dumps({"fewest": found.fewest, "curve": curve}, indent=2))
        return
    console().print(_curve(found))
    if found.fewest is None:
        click.echo(f"not even {most} replicas keep {share:.0%} of the requests in the SLO")
    else:
        click.echo(f"{found.fewest} replicas keep {share:.0%} of the requests in the SLO")


def _curve(found: Plan) -> Table:
    made = listing("replicas", "in SLO", "TTFT p50, s", "p99, s", "TPOT p50, ms", "p99, ms", "")
    for replicas, report in found.curve.items():
        made.add_row(
            str(replicas),
            f"{report.goodput_share:.1%}",
            f"{report.ttft_s.p50:.3f}",
            f"{report.ttft_s.p99:.3f}",
            f"{report.tpot_s.p50 * 1e3:.1f}",
            f"{report.tpot_s.p99 * 1e3:.1f}",
            "◀" if replicas == found.fewest else "",
        )
    return made
