"""`steelyard cancel`."""

from pathlib import Path

import click

from steelyard.cli.jobs_argument import order_each, with_state


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@with_state
def cancel(job_ids: tuple[str, ...], state: Path | None) -> None:
    """Make a job leave for good."""
    order_each(state, "cancel", job_ids)
