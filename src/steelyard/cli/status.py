"""`steelyard status`: how a running gateway fares, for people and for scripts.

Degraded is a gateway that wants no clients, a replica that is neither up nor drained on purpose, or a
fleet without any replica that may be given requests.
"""

import json
import re
import sys
from typing import Any

import click
from rich.table import Table

from steelyard.cli import exit_codes
from steelyard.cli.admin_client import DEFAULT_ADMIN, read_admin, read_metrics
from steelyard.cli.jobs_argument import print_json, span, with_json
from steelyard.cli.terminal import console, listing
from steelyard.cluster.membership import ReplicaState

_UP = (ReplicaState.HEALTHY.value, ReplicaState.STARTING.value)
_DRAINED = ReplicaState.DRAINING.value
_SERIES = r'^steelyard_%s\{%s="((?:[^"\\]|\\.)*)"\} (\S+)$'


@click.command()
@click.option("--admin", default=DEFAULT_ADMIN, metavar="HOST:PORT", show_default=True)
@with_json
def status(admin: str, as_json: bool) -> None:
    """Say how a running gateway fares: workers, replicas, tenants.

    Exit codes: 0 healthy, 1 degraded, 2 it cannot be asked.
    """
    page = read_status(admin)
    if as_json:
        print_json(page)
    else:
        _show(page)
    sys.exit(exit_codes.FAILED if page["degraded"] else exit_codes.DONE)


def read_status(admin: str) -> dict[str, Any]:
    """All of it as values. Raises ConfigError."""
    return status_of(read_admin(admin, "status"), read_admin(admin, "replicas"), read_metrics(admin))


def status_of(page: dict[str, Any], replicas: list[dict[str, Any]], text: str) -> dict[str, Any]:
    """The same from what the admin port said: its status, its replicas, its metrics."""
    in_flight = _series(text, "replica_requests_in_flight", "replica")
    for each in replicas:
        each["requests_in_flight"] = in_flight.get(each["id"], 0)
    running = _series(text, "tenant_requests_running", "tenant")
    refused = _series(text, "tenant_refused_total", "tenant")
    tenants = [
        {"tenant": name, "requests_running": count, "refused": refused.get(name, 0)}
        for name, count in running.items()
    ]
    return page | {"replicas": replicas, "tenants": tenants, "degraded": reasons(page["ready"], replicas)}


def reasons(ready: bool, replicas: list[dict[str, Any]]) -> list[str]:
    """Why a gateway is degraded; none when it is healthy."""
    found = [] if ready else ["the gateway is draining"]
    found += [
        f"replica {each['id']} is {each['state']}"
        for each in replicas
        if each["state"] not in (*_UP, _DRAINED)
    ]
    if not any(each["state"] in _UP for each in replicas):
        found.append("no replica may be given requests")
    return found


def _series(text: str, name: str, label: str) -> dict[str, int]:
    found = re.findall(_SERIES % (name, label), text, re.MULTILINE)
    return {json.loads(f'"{value}"'): int(count) for value, count in found}


def _show(page: dict[str, Any]) -> None:
    terminal = console()
    verdict = "; ".join(page["degraded"])
    terminal.print(f"degraded: {verdict}" if verdict else "healthy", style="red" if verdict else "green")
    workers, retiring = len(page["workers"]), len(page["retiring"])
    terminal.print(
        f"process {page['pid']}, up {span(page['up_s'])}, generation {page['generation']}, "
        f"{workers} worker{'s' if workers != 1 else ''}"
        + (f"; {retiring} older generation{'s' if retiring != 1 else ''} still finish" if retiring else "")
    )
    terminal.print(replica_table(page["replicas"]))
    if page["tenants"]:
        made = listing("tenant", "running", "refused")
        for each in page["tenants"]:
            made.add_row(each["tenant"], str(each["requests_running"]), str(each["refused"]))
        terminal.print(made)


def replica_table(replicas: list[dict[str, Any]]) -> Table:
    """Without the columns that say nothing: one pool's name, errors that nobody had."""
    pools = len({each["pool"] for each in replicas}) > 1
    errors = any(each["last_error"] for each in replicas)
    columns = ("state", "in flight", "waiting", "running", "KV used", *(["last error"] if errors else []))
    made = listing("replica", *(["pool"] if pools else []), *columns)
    for each in replicas:
        made.add_row(
            each["id"],
            *([each["pool"]] if pools else []),
            each["state"],
            str(each["requests_in_flight"]),
            *load_cells(each),
            *([each["last_error"]] if errors else []),
        )
    return made


def load_cells(replica: dict[str, Any]) -> list[str]:
    """What its engine told of itself: requests waiting, requests running, share of the KV cache."""
    load = replica["load"] or {}
    told = [load.get(name) for name in ("waiting_requests", "running_requests")]
    used = load.get("kv_used_fraction")
    return [*("" if value is None else f"{value:g}" for value in told), "" if used is None else f"{used:.0%}"]
