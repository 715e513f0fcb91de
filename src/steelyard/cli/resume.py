"""`steelyard resume`."""

from pathlib import Path

import click

from steelyard.cli.jobs_argument import order_each, with_state


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@with_state
def resume(job_ids: tuple[str, ...], state: Path | None) -> None:
    """Let a paused job go on from its checkpoint."""
    order_each(state, "resume", job_ids)
