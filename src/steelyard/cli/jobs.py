"""`steelyard jobs`: what there is."""

from pathlib import Path

import click

from steelyard.cli.jobs_argument import (
    ago,
    client_of,
    print_json,
    shown,
    span,
    with_json,
    with_state,
    without_status,
)
from steelyard.cli.nodes import tenant_table
from steelyard.cli.terminal import console, listing
from steelyard.model.job_record import TaskState


@click.command()
@with_state
@with_json
@click.option("--limit", type=click.IntRange(min=1), default=40, show_default=True, help="The newest.")
@click.option("--only", type=click.Choice([str(each) for each in TaskState]), help="Of this state.")
def jobs(state: Path | None, as_json: bool, limit: int, only: str | None) -> None:
    """List jobs, the newest first."""
    answer = client_of(state).ask("jobs", limit=limit, state=only or "")
    if as_json:
        print_json(without_status(answer))
        return
    answer = shown(answer)
    made = listing("job", "name", "tenant", "state", "tasks", "nodes", "ran", "submitted", "because")
    for row in answer["jobs"]:
        made.add_row(
            row["job"],
            row["name"],
            row["tenant"],
            row["state"],
            f"{row['done']}/{row['tasks']}",
            " ".join(row["nodes"][:4]) + (" …" if len(row["nodes"]) > 4 else ""),
            span(row["ran_s"]),
            f"{ago(row['submitted_wall_s'])} ago",
            _shortened(row["reason"], 80),
        )
    terminal = console()
    terminal.print(made)
    if any(row["quota"] for row in answer["tenants"]):
        terminal.print(tenant_table(answer["tenants"]))
    states = ", ".join(f"{count} {name}" for name, count in answer["task_states"].items())
    terminal.print(f"{len(answer['jobs'])} of {answer['total']} jobs; tasks: {states or 'none'}")


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
