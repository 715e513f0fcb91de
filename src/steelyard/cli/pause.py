"""`steelyard pause`."""

from pathlib import Path

import click

from steelyard.cli.jobs_argument import order_each, with_state


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@with_state
def pause(job_ids: tuple[str, ...], state: Path | None) -> None:
    """Make a job leave its nodes and stay away, its progress kept."""
    order_each(state, "pause", job_ids)
