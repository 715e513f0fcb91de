"""`steelyard logs`: what a task writes."""

import sys
from pathlib import Path

import click

from steelyard.cli.jobs_argument import client_of, with_state
from steelyard.cli.terminal import reader_left


@click.command()
@click.argument("task", metavar="TASK")
@with_state
@click.option("-f", "--follow", is_flag=True, help="Go on until the task is over.")
@click.option("--tail", "tail_bytes", type=click.IntRange(min=0), default=0, help="Only the last bytes.")
def logs(task: str, state: Path | None, follow: bool, tail_bytes: int) -> None:
    """Print the output of TASK (17.3, or 17 for a job of one task), of all its attempts."""
    client = client_of(state)
    if follow:
        for text in client.follow_log(task, tail_bytes=tail_bytes):
            sys.stdout.write(text)
            sys.stdout.flush()
            if reader_left():
                break
        return
    offset = -tail_bytes
    while (answer := client.ask("logs", task=task, offset=offset))["text"]:
        sys.stdout.write(answer["text"])
        offset = answer["offset"]
