"""`steelyard nodes`: where tasks can run."""

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from steelyard.cli.jobs_argument import amount, client_of, print_json, shown, with_json, with_state
from steelyard.cli.terminal import console


@click.command()
@with_state
@with_json
def nodes(state: Path | None, as_json: bool) -> None:
    """List nodes: what they have, what is used and reserved of it, and what runs there."""
    answer = client_of(state).ask("nodes")
    if as_json:
        print_json(answer["nodes"])
        return
    answer, terminal = shown(answer), console()
    terminal.print(node_table(answer["nodes"]))
    if any(row["quota"] for row in answer["tenants"]):
        terminal.print(tenant_table(answer["tenants"]))


def tenant_table(rows: list[dict[str, Any]]) -> Table:
    """One line a tenant."""
    table = Table("tenant", "holds / is promised", "may borrow", "tasks placed", "waiting")
    for row in rows:
        amounts = [
            f"{_of(name, row['held'].get(name, 0.0))} / {_of(name, most)}"
            for name, most in row["quota"].items()
        ]
        table.add_row(
            row["tenant"] or "(none)",
            ", ".join(amounts) or "no quota",
            "yes" if row["borrow"] else "no",
            str(row["tasks_placed"]),
            str(row["tasks_waiting"]),
        )
    return table


def _of(resource: str, value: float) -> str:
    return amount(value) if resource.endswith("bytes") else f"{value:g} {resource.removesuffix('_cores')}"


def node_table(rows: list[dict[str, Any]]) -> Table:
    """One line a node."""
    table = Table("node", "state", "CPU used / reserved / has", "memory used / has", "disk r+w", "network",
                  "GPUs reserved / has", "tasks", "hot or why")  # fmt: skip
    for row in rows:
        used, has, reserved = row["used"], row["capacity"], row["reserved"]
        cpu = used.get("cpu_cores")
        measured = "?" if cpu is None else f"{cpu:.2f}"
        memory = used.get("memory_bytes")
        disk = used.get("disk_read_bytes_per_s", 0.0) + used.get("disk_write_bytes_per_s", 0.0)
        table.add_row(
            row["node"],
            row["state"],
            f"{measured} / {reserved.get('cpu_cores', 0):g} / {has['cpu_cores']:g}",
            f"{'?' if memory is None else amount(memory)} / {amount(has['memory_bytes'])}",
            f"{amount(disk)}/s",
            f"{amount(used.get('network_bytes_per_s', 0.0))}/s",
            f"{reserved.get('gpus', 0):g} / {has['gpus']:g}",
            str(len(row["tasks"])),
            row["reason"] or ", ".join(row["hot"]),
        )
    return table
