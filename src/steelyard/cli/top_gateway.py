"""What `steelyard top` shows of a gateway: rates and quantiles of what happened between two readings."""

from dataclasses import dataclass
from itertools import pairwise
from time import monotonic
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from steelyard.cli.admin_client import read_admin, read_metrics
from steelyard.cli.jobs_argument import span
from steelyard.cli.status import load_cells, status_of
from steelyard.cli.terminal import listing

BAR_CELLS = 8
_TIMES = {"TTFT": "ttft", "TPOT": "tpot", "total": "duration"}
_SHARES = ("p50", "p99")


@dataclass(frozen=True, slots=True)
class Reading:
    """What an admin port said at one time. series: values by name and labels, as the metrics spell them."""

    at_s: float
    status: dict[str, Any]
    series: dict[str, float]


def read(admin: str) -> Reading:
    """Ask. Raises ConfigError when nobody answers."""
    page, replicas, text = read_admin(admin, "status"), read_admin(admin, "replicas"), read_metrics(admin)
    lines = (line.rpartition(" ") for line in text.splitlines() if line and line[0] != "#")
    series = {name: float(value) for name, _, value in lines}
    return Reading(monotonic(), status_of(page, replicas, text), series)


def view(before: Reading, now: Reading) -> dict[str, Any]:
    """All of it as values. Rates and quantiles are those of the time between; None where nothing happened."""
    seconds = max(1e-9, now.at_s - before.at_s)
    grown = {name: value - before.series.get(name, 0.0) for name, value in now.series.items()}
    replicas = [
        {**each, "requests_per_s": _sum(grown, "replica_requests_total", "replica", each["id"]) / seconds}
        for each in now.status["replicas"]
    ]
    names = dict.fromkeys(each["pool"] for each in replicas)
    pools = [_pool(name, grown, seconds) for name in names]
    return {**now.status, "replicas": replicas, "pools": pools}


def _pool(name: str, grown: dict[str, float], seconds: float) -> dict[str, Any]:
    ttft = _buckets(grown, "time_to_first_token_seconds", name)
    tpot = _buckets(grown, "time_per_output_token_seconds", name)
    duration = _buckets(grown, "request_duration_seconds", name)
    failed = _sum(grown, "requests_total", "pool", name, ',status="5xx"')
    return {
        "pool": name,
        "requests_per_s": _sum(grown, "requests_total", "pool", name) / seconds,
        "server_errors_per_s": failed / seconds,
        "ttft_p50_s": quantile(ttft, 0.5),
        "ttft_p99_s": quantile(ttft, 0.99),
        "tpot_p50_s": quantile(tpot, 0.5),
        "tpot_p99_s": quantile(tpot, 0.99),
        "duration_p50_s": quantile(duration, 0.5),
        "duration_p99_s": quantile(duration, 0.99),
    }


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _sum(series: dict[str, float], family: str, label: str, value: str, more: str = "") -> float:
    start = f'steelyard_{family}{{{label}="{_label(value)}"{more}'
    return sum(count for name, count in series.items() if name.startswith(start))


def _buckets(series: dict[str, float], family: str, pool: str) -> list[tuple[float, float]]:
    start = f'steelyard_{family}_bucket{{pool="{_label(pool)}",le="'
    found = (
        (name.removeprefix(start)[:-2], count) for name, count in series.items() if name.startswith(start)
    )
    return [(float(bound), count) for bound, count in found]


def quantile(buckets: list[tuple[float, float]], share: float) -> float | None:
    """A quantile from (bound, count up to it), linear within a bucket as Prometheus has it; None of none."""
    total = buckets[-1][1] if buckets else 0.0
    if total <= 0:
        return None
    wanted = share * total
    for (low, under), (high, upto) in pairwise([(0.0, 0.0), *buckets]):
        if upto >= wanted and upto > under:
            return low if high == float("inf") else low + (high - low) * (wanted - under) / (upto - under)
    return None


def render(page: dict[str, Any], rows: int) -> Group:
    """For the terminal. rows: replicas to show, the busiest first."""
    trouble = "; ".join(page["degraded"][:3])
    head = Text.assemble(
        "gateway ",
        (f"degraded: {trouble}", "red") if trouble else ("healthy", "green"),
        f", process {page['pid']}, up {span(page['up_s'])}, generation {page['generation']}, "
        f"{len(page['workers'])} workers",
    )
    replicas = sorted(page["replicas"], key=lambda each: -each["requests_in_flight"])
    parts: list[RenderableType] = [head, "", _pool_table(page["pools"]), "", replica_table(replicas, rows)]
    if (left := len(page["replicas"]) - rows) > 0:
        parts.append(Text(f"and {left} replicas less busy"))
    return Group(*parts)


def _pool_table(pools: list[dict[str, Any]]) -> Table:
    times = [f"{name} {share}" for name in _TIMES for share in _SHARES]
    made = listing("pool", "req/s", "5xx/s", *times)
    for each in pools:
        rates = (f"{each['requests_per_s']:.1f}", f"{each['server_errors_per_s']:.1f}")
        values = (each[f"{key}_{share}_s"] for key in _TIMES.values() for share in _SHARES)
        made.add_row(each["pool"], *rates, *map(_milliseconds, values))
    return made


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1e3:,.0f} ms"


def replica_table(replicas: list[dict[str, Any]], rows: int) -> Table:
    """The first `rows` of them."""
    pools = len({each["pool"] for each in replicas}) > 1
    columns = ("state", "in flight", "", "req/s", "waiting", "running", "KV used")
    made = listing("replica", *(["pool"] if pools else []), *columns)
    most = max([1, *(each["requests_in_flight"] for each in replicas)])
    for each in replicas[:rows]:
        flying = each["requests_in_flight"]
        made.add_row(
            each["id"],
            *([each["pool"]] if pools else []),
            Text(each["state"], "" if each["state"] in ("healthy", "starting") else "red"),
            str(flying),
            "█" * round(BAR_CELLS * flying / most),
            f"{each['requests_per_s']:.1f}",
            *load_cells(each),
        )
    return made
