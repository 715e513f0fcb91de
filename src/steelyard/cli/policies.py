"""`steelyard policies`: the routing policies."""

import json

import click
from rich.console import Console
from rich.table import Table

from steelyard.policies.routing.registry import DEFAULT_POLICY, POLICY_SUMMARIES


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def policies(as_json: bool) -> None:
    """List the routing policies."""
    if as_json:
        rows = [
            {"name": name, "summary": text, "default": name == DEFAULT_POLICY}
            for name, text in POLICY_SUMMARIES.items()
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("Policy", "Picks", box=None)
    for name, text in POLICY_SUMMARIES.items():
        table.add_row(name, text)
    Console().print(table)
