"""`steelyard down`: end the jobs service with all that runs under it."""

from pathlib import Path

import click

from steelyard.cli.finite import FiniteRange
from steelyard.cli.jobs_argument import client_of, with_state


@click.command()
@with_state
@click.option("--grace", type=FiniteRange(min=0), default=10.0, show_default=True, help="Seconds.")
def down(state: Path | None, grace: float) -> None:
    """Ask all tasks to stop, then end the service and its nodes. The next `up` goes on with them."""
    client_of(state).ask("down", grace_s=grace)
    print("the service leaves; tasks that were not done go on at the next `steelyard up`")
