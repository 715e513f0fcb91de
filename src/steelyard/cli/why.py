"""`steelyard why`: the receipts of one request, or of the last ones."""

import json
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from steelyard.cli.admin_client import DEFAULT_ADMIN, read_admin
from steelyard.cli.terminal import console, listing


@click.command()
@click.argument("request_id", required=False)
@click.option("--admin", default=DEFAULT_ADMIN, show_default=True, help="The gateway's admin port.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def why(request_id: str | None, admin: str, as_json: bool) -> None:
    """Say why the request REQUEST_ID went where it went; without an id, list the last picks.

    An answer names its request in the header X-Request-Id.
    """
    picks = read_admin(admin, "why", request_id) if request_id else read_admin(admin, "picks")
    if as_json:
        click.echo(json.dumps(picks, indent=2))
        return
    terminal = console()
    if request_id is None:
        terminal.print(_list(picks))
        return
    for pick in picks:
        _explain(terminal, pick)


def _clock(at_s: float) -> str:
    return datetime.fromtimestamp(at_s).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _list(picks: list[dict[str, Any]]) -> Table:
    made = listing("at", "request", "pool", "replica", "reason", "tokens", "cached")
    for pick in picks:
        numbers = (f"{pick['prompt_tokens']:,}", f"{pick['matched_tokens']:,}")
        names = (pick["request_id"], pick["pool"], pick["replica"], pick["reason"])
        made.add_row(_clock(pick["at"]), *names, *numbers)
    return made


def _explain(terminal: Console, pick: dict[str, Any]) -> None:
    terminal.print(
        f"{_clock(pick['at'])}  pool {pick['pool']}, try {pick['attempt']}: "
        f"{pick['replica']}, because: {pick['reason']}",
    )
    terminal.print(
        f"  prompt of {pick['prompt_tokens']:,} tokens, {pick['matched_tokens']:,} of them believed "
        f"cached there; {pick['work_tokens']:,} tokens of work before its first answer",
    )
    if not pick["candidates"]:
        terminal.print("  nothing was compared: this policy does not look at loads")
        return
    made = listing("", "candidate", "score (less is better)")
    for candidate in pick["candidates"]:
        mark = "→" if candidate["replica"] == pick["replica"] else ""
        score = "" if candidate["score"] is None else f"{candidate['score']:.6g}"
        made.add_row(mark, candidate["replica"], score)
    terminal.print(made)
    left = pick["compared"] - len(pick["candidates"])
    if left:
        terminal.print(f"  and {left} more")
