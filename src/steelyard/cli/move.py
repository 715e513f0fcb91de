"""`steelyard move`."""

from pathlib import Path

import click

from steelyard.cli.jobs_argument import client_of, with_state


@click.command()
@click.argument("task", metavar="TASK")
@click.argument("node")
@with_state
def move(task: str, node: str, state: Path | None) -> None:
    """Move TASK (17.3, or 17 for a job of one task) to NODE: stop, checkpoint, start there."""
    client_of(state).ask("move", task=task, node=node)
    print(f"task {task} is asked to stop, and goes on on {node}")
