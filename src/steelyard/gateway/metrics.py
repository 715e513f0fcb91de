"""Prometheus text (exposition format 0.0.4) from the counters of all workers, summed."""

from collections.abc import Iterable, Iterator

from steelyard.cluster.membership import ReplicaState
from steelyard.gateway import meters
from steelyard.gateway.fleet_table import Row
from steelyard.runtime.page import MAX_SLOTS, SharedPage
from steelyard.version import __version__

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_PLAIN_HELP = {
    "retries": "Requests sent to another replica after a first one failed them.",
    "cut_streams": "Answers that an engine stopped in the middle.",
    "connections_refused": "Client connections refused since a worker had too many.",
    "malformed_requests": "Requests refused before a pool was found for them.",
    "access_log_dropped": "Access log lines dropped.",
    "stream_continuations": "Times that another engine was asked to go on with an answer.",
    "kv_event_batches": "Batches of cache events heard from engines, by all workers.",
    "kv_event_gaps": "Times that batches of cache events were missing.",
    "kv_event_losses": "Times that cache events were lost for good or unreadable, and a replica's forgotten.",
}
_LOAD = (
    ("requests_in_flight", "Requests in flight on a replica."),
    ("queued_prompt_tokens", "Prompt tokens sent to a replica whose first output token has not come."),
    ("expected_output_tokens", "Output tokens still expected of the requests in flight."),
)

_REPORTED = (
    ("waiting_requests", "Requests that wait in an engine, as it reports."),
    ("running_requests", "Requests that run in an engine, as it reports."),
    ("kv_used_fraction", "Share of an engine's KV cache in use, as it reports."),
)
_HISTOGRAMS = (
    (
        "time_to_first_token_seconds",
        "Seconds from a whole request to the first byte of its answer.",
        meters.TTFT_AT,
        meters.TTFT_BOUNDS_S,
    ),
    (
        "time_per_output_token_seconds",
        "Seconds a token of a streamed answer, after its first.",
        meters.TPOT_AT,
        meters.TPOT_BOUNDS_S,
    ),
    ("request_duration_seconds", "Seconds a request took in all.", meters.TOTAL_AT, meters.TOTAL_BOUNDS_S),
    (
        "request_prompt_tokens",
        "Tokens of the prompts of answered requests, estimated from their bytes.",
        meters.PROMPT_AT,
        meters.TOKEN_BOUNDS,
    ),
    (
        "request_output_tokens",
        "Tokens of answers, as the engine counts them where it says so.",
        meters.OUTPUT_AT,
        meters.TOKEN_BOUNDS,
    ),
)


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _family(name: str, kind: str, text: str) -> str:
    return f"# HELP steelyard_{name} {text}\n# TYPE steelyard_{name} {kind}"


def _sum_rows(rows: Iterable[memoryview]) -> list[int]:
    return [sum(column) for column in zip(*(row.tolist() for row in rows), strict=True)]


def _histograms(words: list[int], pools: list[str]) -> Iterator[str]:
    for name, text, at, bounds in _HISTOGRAMS:
        yield _family(name, "histogram", text)
        yield from _histogram(name, words, at, bounds, pools)


def _histogram(
    name: str, words: list[int], at: int, bounds: tuple[float, ...], pools: list[str]
) -> Iterator[str]:
    for index, pool in enumerate(pools):
        counts, sum_ = meters.histogram_words(words, at, index)
        total = 0
        for bound, count in zip((*bounds, "+Inf"), counts, strict=True):
            total += count
            yield f'steelyard_{name}_bucket{{pool="{_label(pool)}",le="{bound}"}} {total}'
        shown = sum_ / 1e6 if name.endswith("_seconds") else sum_
        yield f'steelyard_{name}_sum{{pool="{_label(pool)}"}} {shown}'
        yield f'steelyard_{name}_count{{pool="{_label(pool)}"}} {total}'


def _replica_lines(rows: list[Row], words: list[int], load: list[int]) -> Iterator[str]:
    present = [(slot, row) for slot, row in enumerate(rows) if row.replica is not None]
    names = {slot: _label(row.replica.replica_id) for slot, row in present if row.replica is not None}
    yield _family("replica_requests_total", "counter", "Requests ended, by replica and outcome.")
    for slot, name in names.items():
        for index, outcome in enumerate(meters.OUTCOMES):
            count = words[meters.REPLICAS_AT + slot * len(meters.OUTCOMES) + index]
            yield f'steelyard_replica_requests_total{{replica="{name}",outcome="{outcome}"}} {count}'
    yield _family("replica_up", "gauge", "Whether a replica may be given requests.")
    for slot, row in present:
        up = int(row.state in (ReplicaState.HEALTHY, ReplicaState.STARTING))
        yield f'steelyard_replica_up{{replica="{names[slot]}",state="{row.state.value}"}} {up}'
    for column, (name, text) in enumerate(_LOAD):
        yield _family(f"replica_{name}", "gauge", text)
        for slot, replica in names.items():
            yield f'steelyard_replica_{name}{{replica="{replica}"}} {load[column * MAX_SLOTS + slot]}'
    for attribute, text in _REPORTED:
        yield _family(f"replica_reported_{attribute}", "gauge", text)
        for slot, row in present:
            value = getattr(row.load, attribute) if row.load is not None else None
            if value is not None:
                yield f'steelyard_replica_reported_{attribute}{{replica="{names[slot]}"}} {value}'


def render(page: SharedPage, rows: list[Row], pools: list[str], restarts: int) -> bytes:
    """All metrics as text."""
    words = _sum_rows(page.counter_row(worker) for worker in range(page.workers))
    load = _sum_rows(page.ledger_row(worker) for worker in range(page.workers))
    lines = [
        _family("build_info", "gauge", "The version that runs."),
        f'steelyard_build_info{{version="{__version__}"}} 1',
    ]
    lines += [_family("worker_restarts_total", "counter", "Workers started again after they died.")]
    lines += [f"steelyard_worker_restarts_total {restarts}"]
    for index, name in enumerate(meters.PLAIN):
        lines += [
            _family(f"{name}_total", "counter", _PLAIN_HELP[name]),
            f"steelyard_{name}_total {words[index]}",
        ]
    lines.append(
        _family("wasted_tokens_total", "counter", "Tokens computed twice or for nobody, by cause; estimated.")
    )
    lines += [
        f'steelyard_wasted_tokens_total{{cause="{cause}"}} {words[meters.WASTED_AT + index]}'
        for index, cause in enumerate(meters.WASTED)
    ]
    lines.append(_family("requests_total", "counter", "Requests ended, by pool and class of status."))
    for index, pool in enumerate(pools):
        for offset, status in enumerate(meters.STATUS_CLASSES):
            count = words[meters.POOLS_AT + index * len(meters.STATUS_CLASSES) + offset]
            lines.append(f'steelyard_requests_total{{pool="{_label(pool)}",status="{status}"}} {count}')
    lines += _replica_lines(rows, words, load)
    lines += _histograms(words, pools)
    return ("\n".join(lines) + "\n").encode()


def render_loops(stalled: int, late: int, given_up: int) -> bytes:
    """How the workers' event loops fare, as text."""
    lines = [
        _family("workers_stalled", "gauge", "Workers whose event loop does not turn."),
        f"steelyard_workers_stalled {stalled}",
        _family("event_loop_stalls_total", "counter", "Times that an event loop stood still for over 0.1 s."),
        f"steelyard_event_loop_stalls_total {late}",
        _family("stalled_workers_replaced_total", "counter", "Workers replaced since they had stalled."),
        f"steelyard_stalled_workers_replaced_total {given_up}",
    ]
    return ("\n".join(lines) + "\n").encode()
