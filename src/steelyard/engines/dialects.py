"""What engines call their load: one row of metric names an engine, and how to read them.

Sources: vLLM's and SGLang's "Production Metrics" pages and the README of llama.cpp's server. vLLM renamed
`gpu_cache_usage_perc` to `kv_cache_usage_perc`; the newer name is looked for first. Current llama.cpp
reports no KV use, older builds did. Series of one name with several labels (ranks, adapters) are added
for counts, and the fullest one counts for KV use. Ties: a page that speaks two dialects, as a proxy's
may, is read in the one that stands first below. Cost: linear in the page.
"""

import math
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Metric names of one engine; several where releases differ, the newest first; () for none.

    kv_blocks: a series whose labels say how many blocks the KV cache has, and of how many tokens.
    """

    name: str
    running: tuple[str, ...]
    waiting: tuple[str, ...]
    kv_used_fraction: tuple[str, ...] = ()
    kv_capacity_tokens: tuple[str, ...] = ()
    kv_blocks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLoad:
    """What an engine says of itself. None is what it does not say: not zero, unknown."""

    dialect: str
    running_requests: int | None
    waiting_requests: int | None
    kv_used_fraction: float | None
    kv_capacity_tokens: int | None = None


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="vllm",
            running=("vllm:num_requests_running",),
            waiting=("vllm:num_requests_waiting",),
            kv_used_fraction=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
            kv_blocks="vllm:cache_config_info",
        ),
        Dialect(
            name="sglang",
            running=("sglang:num_running_reqs",),
            waiting=("sglang:num_queue_reqs",),
            kv_used_fraction=("sglang:token_usage",),
            kv_capacity_tokens=("sglang:max_total_num_tokens",),
        ),
        Dialect(
            name="llama.cpp",
            running=("llamacpp:requests_processing",),
            waiting=("llamacpp:requests_deferred",),
            kv_used_fraction=("llamacpp:kv_cache_usage_ratio",),
        ),
    )
}
_WANTED = frozenset(
    name
    for each in DIALECTS.values()
    for name in each.running + each.waiting + each.kv_used_fraction + each.kv_capacity_tokens
)
_BLOCK_SIZE = re.compile(r'block_size="(\d+)"')
_BLOCK_COUNT = re.compile(r'num_gpu_blocks="(\d+)"')


def read_load(page: str) -> EngineLoad | None:
    """The load on a Prometheus page; None when it speaks none of the dialects."""
    series = _wanted_series(page)
    for dialect in DIALECTS.values():
        running = _first(series, dialect.running)
        waiting = _first(series, dialect.waiting)
        if running is None and waiting is None:
            continue
        used = _first(series, dialect.kv_used_fraction)
        return EngineLoad(
            dialect=dialect.name,
            running_requests=None if running is None else round(sum(running)),
            waiting_requests=None if waiting is None else round(sum(waiting)),
            kv_used_fraction=None if used is None else min(1.0, max(used)),
            kv_capacity_tokens=_capacity(page, series, dialect),
        )
    return None


def _capacity(page: str, series: dict[str, list[float]], dialect: Dialect) -> int | None:
    """Tokens that the KV cache holds, all ranks together; None when the engine does not say."""
    tokens = sum(_first(series, dialect.kv_capacity_tokens) or ())
    start = f"{dialect.kv_blocks}{{"
    for line in page.split("\n") if dialect.kv_blocks else ():
        # A label may be named like another one with something before it: mamba_block_size.
        labels = line.replace("{", ",", 1).split(",") if line.startswith(start) else ()
        sizes = [int(found[1]) for label in labels if (found := _BLOCK_SIZE.match(label))]
        counts = [int(found[1]) for label in labels if (found := _BLOCK_COUNT.match(label))]
        if sizes and counts:
            tokens += sizes[0] * counts[0]
    return round(tokens) or None


def _first(series: dict[str, list[float]], names: tuple[str, ...]) -> list[float] | None:
    return next((series[name] for name in names if name in series), None)


def _wanted_series(page: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for line in page.split("\n"):
        name = line.partition("{")[0].partition(" ")[0]
        if name not in _WANTED:
            continue
        # Labels may hold any character but end with the last brace; a time stamp may follow the value.
        fields = line[len(name) :].rpartition("}")[2].split()
        try:
            value = float(fields[0]) if fields else math.nan
        except ValueError:
            continue
        if math.isfinite(value) and value >= 0:
            found.setdefault(name, []).append(value)
    return found
