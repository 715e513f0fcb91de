"""`steelyard top`: nodes and running tasks, live."""

import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from steelyard.cli.jobs_argument import client_of, console, print_json, span, with_json, with_state
from steelyard.cli.nodes import node_table


@click.command()
@with_state
@with_json
@click.option("--once", is_flag=True, help="Print once and leave; so it does without a terminal.")
@click.option("--interval", type=click.FloatRange(min=0.2), default=1.0, show_default=True, help="Seconds.")
def top(state: Path | None, as_json: bool, once: bool, interval: float) -> None:
    """Watch load, balance and what runs. Ctrl-C leaves."""
    client = client_of(state)
    answer = client.ask("top")
    if as_json:
        print_json(answer)
        return
    terminal = console()
    if once or not sys.stdout.isatty():
        terminal.print(page(answer))
        return
    with Live(page(answer), console=terminal, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(page(client.ask("top")), refresh=True)


def page(answer: dict[str, Any]) -> Group:
    """All of it."""
    running = Table("task", "node", "attempt", "ran", "because")
    for each in answer["running"]:
        running.add_row(
            each["task"], each["node"], str(each["epoch"]), span(each["ran_s"]), each["reason"][:70]
        )
    states = ", ".join(f"{count} {name}" for name, count in answer["states"].items())
    summary = Text(
        f"utilisation {answer['utilisation']:.3f}, balance degree {answer['balance_degree']:.4f} "
        f"(CPU); tasks: {states or 'none'}"
    )
    return Group(node_table(answer["nodes"]), summary, running)
