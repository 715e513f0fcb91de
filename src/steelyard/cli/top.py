"""`steelyard top`: both planes, live."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from steelyard.cli import top_gateway
from steelyard.cli.admin_client import DEFAULT_ADMIN
from steelyard.cli.finite import FiniteRange
from steelyard.cli.jobs_argument import client_of, print_json, shown, span, with_json, with_state
from steelyard.cli.nodes import node_table
from steelyard.cli.terminal import console, listing
from steelyard.jobs.client import JobsClient, NoService
from steelyard.model.errors import ConfigError

ROWS_BESIDE_REPLICAS = 20  # lines of the page that are not replicas
FIRST_INTERVAL_S = 0.2  # between the two readings that the first page needs


class Planes:
    """What is asked, each time anew: one that is not there now may come."""

    def __init__(self, admin: str, client: JobsClient) -> None:
        self._admin = admin
        self._client = client
        self._before: top_gateway.Reading | None = None
        self.trouble: dict[str, str] = {}

    def ask(self) -> dict[str, Any]:
        """{"gateway": ..., "jobs": ...}, None for a plane that does not answer; why is in `trouble`."""
        return {"gateway": self._ask("gateway", self._gateway), "jobs": self._ask("jobs", self._jobs)}

    def _ask(self, name: str, ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        try:
            answer = ask()
        except (ConfigError, NoService) as error:
            self.trouble[name] = str(error)
            return None
        self.trouble.pop(name, None)
        return answer

    def _gateway(self) -> dict[str, Any]:
        before = self._before
        self._before = None  # until it answers again
        if before is None:
            before = top_gateway.read(self._admin)
            time.sleep(FIRST_INTERVAL_S)
        self._before = now = top_gateway.read(self._admin)
        return top_gateway.view(before, now)

    def _jobs(self) -> dict[str, Any]:
        return self._client.ask("top")


@click.command()
@click.option("--admin", default=DEFAULT_ADMIN, metavar="HOST:PORT", show_default=True, help="The gateway's.")
@with_state
@with_json
@click.option("--once", is_flag=True, help="Print once and leave; so it does without a terminal.")
@click.option("--interval", type=FiniteRange(min=0.2), default=1.0, show_default=True, help="Seconds.")
def top(admin: str, state: Path | None, as_json: bool, once: bool, interval: float) -> None:
    """Watch both planes: the gateway's replicas, the nodes and what runs there. Ctrl-C leaves.

    A plane that does not run is left out; at least one must.
    """
    planes = Planes(admin, client_of(state))
    answer = planes.ask()
    if answer["gateway"] is None and answer["jobs"] is None:
        raise ConfigError("; and ".join(planes.trouble.values()))
    if as_json:
        print_json(answer)
    elif once or not sys.stdout.isatty():
        console().print(page(answer, planes.trouble, rows=1024))
    else:
        _watch(planes, answer, interval)


def _watch(planes: Planes, answer: dict[str, Any], interval: float) -> NoReturn:
    terminal = console()

    def now() -> RenderableType:
        return page(answer, planes.trouble, max(3, terminal.size.height - ROWS_BESIDE_REPLICAS))

    with Live(now(), console=terminal, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            answer = planes.ask()
            live.update(now(), refresh=True)


def page(answer: dict[str, Any], trouble: dict[str, str], rows: int) -> Group:
    """All of it. rows: replicas to show."""
    parts: list[RenderableType] = []
    if answer["gateway"] is not None:
        parts.append(top_gateway.render(answer["gateway"], rows))
    if answer["jobs"] is not None:
        parts += [*([""] if parts else []), jobs_page(shown(answer["jobs"]))]
    parts += [Text(f"{name}: {why}", "dim") for name, why in trouble.items()]
    return Group(*parts)


def jobs_page(answer: dict[str, Any]) -> Group:
    """Nodes, and what runs there."""
    running = listing("task", "node", "attempt", "ran", "because")
    for each in answer["running"]:
        running.add_row(
            each["task"], each["node"], str(each["epoch"]), span(each["ran_s"]), each["reason"][:70]
        )
    states = ", ".join(f"{count} {name}" for name, count in answer["states"].items())
    summary = Text(
        f"utilisation {answer['utilisation']:.3f}, balance degree {answer['balance_degree']:.4f} "
        f"(CPU); tasks: {states or 'none'}"
    )
    return Group(node_table(answer["nodes"]), "", summary, "", running)
