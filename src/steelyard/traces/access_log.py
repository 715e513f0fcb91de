"""The gateway's own access log as a trace: what came in, when, how long, and what prompts shared.

Lines of requests that were answered well are taken, whatever else is in the file is counted and left out:
an error has no length that a simulation could repeat. Prompts share blocks only where the log was
written with `access_log_decisions`; without, every prompt is new.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.model.errors import TraceError
from steelyard.traces.request import TraceRequest


@dataclass(slots=True)
class LoggedTraffic:
    """What a log holds.

    ttfts_s: of the streamed answers, as they were. replicas: that served. left_out: lines not used.
    hashed: whether any line says what its prompt shares with others.
    """

    requests: list[TraceRequest] = field(default_factory=list)
    ttfts_s: list[float] = field(default_factory=list)
    replicas: set[str] = field(default_factory=set)
    left_out: int = 0
    hashed: bool = False


def read_access_log(path: Path, *, pool: str = "", limit: int | None = None) -> LoggedTraffic:
    """Read a log, in order of arrival. pool: only its requests; "" for all. limit: only the last so many.

    Raises TraceError when there is nothing to use, OSError when it cannot be read.
    """
    traffic = LoggedTraffic()
    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            row = _usable(line)
            if row is None:
                traffic.left_out += 1
            elif not pool or row.get("pool") == pool:
                rows.append(row)
    if not rows:
        raise TraceError(
            f"{path} has no answered requests{f' of pool {pool!r}' if pool else ''}: "
            "it must be an access log of this gateway (access_log in its configuration)"
        )
    rows.sort(key=lambda row: row["at"])
    if limit is not None:
        rows = rows[-limit:]
    start_s = rows[0]["at"]
    for row in rows:
        traffic.requests.append(_request(row, start_s))
        traffic.replicas.add(str(row.get("replica", "")))
        traffic.hashed |= bool(row.get("prefix_hashes"))
        if row.get("streams") and isinstance(row.get("ttft_s"), float):
            traffic.ttfts_s.append(row["ttft_s"])
    return traffic


def _usable(line: str) -> dict[str, Any] | None:
    """A line as a table, if it is one of an answered request with a length."""
    try:
        row = json.loads(line)
    except ValueError:  # a line that is cut or of another program
        return None
    if not isinstance(row, dict):
        return None
    numbers = (row.get("at"), row.get("prompt_tokens"), row.get("output_tokens"), row.get("status"))
    if not all(isinstance(number, int | float) for number in numbers):
        return None
    answered = 200 <= row["status"] < 300 and row["output_tokens"] > 0
    return row if answered and row["prompt_tokens"] > 0 else None


def _request(row: dict[str, Any], start_s: float) -> TraceRequest:
    hashes = row.get("prefix_hashes") or ()
    return TraceRequest(
        arrival_s=row["at"] - start_s,
        prompt_tokens=int(row["prompt_tokens"]),
        output_tokens=int(row["output_tokens"]),
        prefix_blocks=tuple(each for each in hashes if isinstance(each, int)),
        block_tokens=int(row.get("prefix_block_tokens") or 256),
    )
