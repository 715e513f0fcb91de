"""`steelyard policies`: what may choose a replica, a node, whose turn it is, or what moves."""

import json

import click

from steelyard.cli.terminal import console, listing
from steelyard.config.job_plugins import policy_summaries
from steelyard.config.plugins import summaries
from steelyard.policies.ordering.registry import DEFAULT_ORDERING
from steelyard.policies.placement.registry import DEFAULT_PLACEMENT
from steelyard.policies.rebalancing.registry import DEFAULT_REBALANCING
from steelyard.policies.routing.registry import DEFAULT_POLICY


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def policies(as_json: bool) -> None:
    """List the policies for routing, placement, ordering and rebalancing, those of installed packages too."""
    kinds = (
        ("routing", summaries(), DEFAULT_POLICY),
        ("placement", policy_summaries("placement"), DEFAULT_PLACEMENT),
        ("ordering", policy_summaries("ordering"), DEFAULT_ORDERING),
        ("rebalancing", policy_summaries("rebalancing"), DEFAULT_REBALANCING),
    )
    if as_json:
        rows = [
            {"kind": kind, "name": name, "summary": text, "default": name == default}
            for kind, listed, default in kinds
            for name, text in listed.items()
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    for kind, listed, _ in kinds:
        made = listing("Policy", "Picks", title=kind.capitalize())
        for name, text in listed.items():
            made.add_row(name, text)
        console().print(made)
