"""`steelyard policies`: the routing policies."""

import json

import click
from rich.console import Console
from rich.table import Table

from steelyard.config.plugins import summaries
from steelyard.policies.routing.registry import DEFAULT_POLICY


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def policies(as_json: bool) -> None:
    """List the routing policies, those of installed packages too."""
    if as_json:
        rows = [
            {"name": name, "summary": text, "default": name == DEFAULT_POLICY}
            for name, text in summaries().items()
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("Policy", "Picks", box=None)
    for name, text in summaries().items():
        table.add_row(name, text)
    Console().print(table)
