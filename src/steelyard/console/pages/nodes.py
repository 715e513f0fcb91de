"""Every node: how much of each resource is used, as a heat map, and what runs there."""

from typing import Any

from steelyard.console.asked_jobs import NoJobs
from steelyard.console.page import Context, Page, Part, Query
from steelyard.console.watch import Watch
from steelyard.model.errors import SteelyardError

ROWS = 50
TASKS = 8
UNLIMITED = 1e12
RESOURCES = (
    ("cpu_cores", "CPU", "cores"),
    ("memory_bytes", "Memory", "bytes"),
    ("disk_read_bytes_per_s", "Disk read", "rate"),
    ("disk_write_bytes_per_s", "Disk write", "rate"),
    ("network_bytes_per_s", "Network", "rate"),
    ("gpus", "GPUs", "count"),
    ("gpu_memory_bytes", "GPU memory", "bytes"),
)


async def context(watch: Watch, query: Query) -> Context:
    """One part of the list, filtered by text; in the service's order, so that rows stay where they are."""
    try:
        nodes = (await watch.jobs.ask("nodes"))["nodes"]
        missing = ""
    except (NoJobs, SteelyardError) as error:
        nodes, missing = [], str(error)
    text = query.text("q").lower()
    found = [node for node in nodes if text in node["node"].lower()] if text else nodes
    part = Part.of(found, query.number("from", 0), ROWS)
    shown = [known for known in RESOURCES if any(node["capacity"].get(known[0]) for node in part.rows)]
    return {
        "part": part,
        "rows": [drawn(node, shown) for node in part.rows],
        "resources": shown,
        "missing": missing,
        "cluster": watch.cluster,
        "tasks_shown": TASKS,
    }


def drawn(node: dict[str, Any], resources: list[tuple[str, str, str]]) -> dict[str, Any]:
    """A node with a cell a resource: what is used of how much; heat 0..10, -1 for what is not known."""
    cells = []
    for name, title, kind in resources:
        whole, used = node["capacity"].get(name) or 0.0, node["used"].get(name)
        if whole >= UNLIMITED:
            whole = 0.0  # nobody said how much there is: what is used is shown, and is of nothing
        share = used / whole if whole and used is not None else None
        heat = min(10, round(share * 10)) if share is not None else -1
        reserved = node["reserved"].get(name)
        cells.append(
            {
                "title": title,
                "kind": kind,
                "used": used,
                "whole": whole,
                "reserved": reserved,
                "share": share,
                "heat": heat,
                "hot": name in node["hot"],
            }
        )
    return node | {"cells": cells}


PAGE = Page("nodes", "Nodes", context, ("node_table",))
