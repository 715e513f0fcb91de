"""`steelyard nodes`: where tasks can run."""

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from steelyard.cli.jobs_argument import amount, client_of, print_json, shown, with_json, with_state
from steelyard.cli.terminal import console, listing


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
    made = listing("tenant", "holds / is promised", "may borrow", "tasks placed", "waiting")
    for row in rows:
        amounts = [
            f"{_of(name, row['held'].get(name, 0.0))} / {_of(name, most)}"
            for name, most in row["quota"].items()
        ]
        made.add_row(
            row["tenant"] or "(none)",
            ", ".join(amounts) or "no quota",
            "yes" if row["borrow"] else "no",
            str(row["tasks_placed"]),
            str(row["tasks_waiting"]),
        )
    return made


def _of(resource: str, value: float) -> str:
    return amount(value) if resource.endswith("bytes") else f"{value:g} {resource.removesuffix('_cores')}"


def node_table(rows: list[dict[str, Any]]) -> Table:
    """One line a node; without what no node has."""
    gpus = any(row["capacity"]["gpus"] for row in rows)
    trouble = any(row["reason"] or row["hot"] for row in rows)
    columns = ["state", "CPU used / reserved / has", "memory used / has", "disk r+w", "network", "tasks"]
    columns += ["GPUs reserved / has"] * gpus + ["hot or why"] * trouble
    made = listing("node", *columns)
    for row in rows:
        used, has, reserved = row["used"], row["capacity"], row["reserved"]
        cpu, memory, held = used.get("cpu_cores"), used.get("memory_bytes"), reserved.get("cpu_cores", 0)
        disk = used.get("disk_read_bytes_per_s", 0.0) + used.get("disk_write_bytes_per_s", 0.0)
        made.add_row(
            row["node"],
            row["state"],
            f"{'?' if cpu is None else f'{cpu:.2f}'} / {held:g} / {has['cpu_cores']:g}",
            f"{'?' if memory is None else amount(memory)} / {amount(has['memory_bytes'])}",
            f"{amount(disk)}/s",
            f"{amount(used.get('network_bytes_per_s', 0.0))}/s",
            str(len(row["tasks"])),
            *([f"{reserved.get('gpus', 0):g} / {has['gpus']:g}"] if gpus else []),
            *([row["reason"] or ", ".join(row["hot"])] if trouble else []),
        )
    return made
