"""`steelyard drain`."""

from pathlib import Path

import click

from steelyard.cli.jobs_argument import client_of, with_state


@click.command()
@click.argument("node")
@with_state
@click.option("--undo", is_flag=True, help="Let it take tasks again.")
@click.option("--reason", default="", help="For the timeline.")
def drain(node: str, state: Path | None, undo: bool, reason: str) -> None:
    """Give NODE no new tasks, and move those on it elsewhere."""
    client_of(state).ask("drain", node=node, undo=undo, reason=reason)
    print(f"node {node} takes tasks again" if undo else f"node {node} is drained")
