"""Both planes at a glance."""

from steelyard.console.overview import snapshot
from steelyard.console.page import Context, Page, Query
from steelyard.console.rates import USABLE
from steelyard.console.watch import Watch

SHOWN = 24  # bars; the replicas page has all


async def context(watch: Watch, query: Query) -> Context:
    """Tiles, bars; the charts' points travel apart."""
    now = snapshot(watch)
    replicas = sorted(now["replicas"], key=lambda each: (-each["in_flight"], each["replica_id"]))
    nodes = sorted((now["jobs"] or {"nodes": []})["nodes"], key=_cpu_share, reverse=True)
    return {
        "now": now,
        "busiest": replicas[:SHOWN],
        "most_in_flight": max([1, *(each["in_flight"] for each in replicas)]),
        "usable": sum(each["state"] in USABLE for each in replicas),
        "loaded": nodes[:SHOWN],
        "node_cpu_share": sum(map(_cpu_share, nodes)) / len(nodes) if nodes else None,
        "shown": SHOWN,
    }


def _cpu_share(node: Context) -> float:
    cores = node["capacity"]["cpu_cores"]
    return (node["used"].get("cpu_cores") or 0.0) / cores if cores else 0.0


PAGE = Page("overview", "Overview", context, ("overview_tiles", "overview_bars"), charts=True)
