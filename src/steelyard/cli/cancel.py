"""`steelyard cancel`."""

from pathlib import Path

import click

from steelyard.cli.jobs_argument import client_of, with_state


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@with_state
def cancel(job_ids: tuple[str, ...], state: Path | None) -> None:
    """Make a job leave for good."""
    client = client_of(state)
    for job_id in job_ids:
        client.ask("cancel", job=job_id)
        print(f"job {job_id}: {client.ask('job', job=job_id)['state']}")
