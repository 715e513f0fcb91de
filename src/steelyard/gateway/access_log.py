"""One JSON line a request, off the hot path: lines gather in memory and a thread writes them.

When the disk is full or slow, requests are served on and lines are dropped and counted; what waits has
a bound.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import msgspec

from steelyard.gateway.receipts import decision
from steelyard.model.fleet import Fleet
from steelyard.model.pick import Pick

if TYPE_CHECKING:
    from steelyard.gateway.exchange import Exchange

MAX_WAITING = 20_000
FLUSH_S = 0.25


class AccessLog:
    """A file of JSON lines, appended to by one thread."""

    def __init__(self, path: Path, dropped: Callable[[], None]) -> None:
        self._path = path
        self._dropped = dropped
        self._waiting: list[dict[str, object]] = []
        self._stopped = threading.Event()
        # Opened once here, so that a path that cannot be written is the operator's mistake at start.
        with path.open("ab"):
            pass
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def write(self, record: dict[str, object]) -> None:
        """Take one record; drops it when too many wait."""
        if len(self._waiting) >= MAX_WAITING:
            self._dropped()
        else:
            self._waiting.append(record)

    def close(self) -> None:
        """Write what waits and stop."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        records, self._waiting = self._waiting, []
        if not records:
            return
        lines = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
        try:
            # Opened anew each time, so that a rotated file is let go. One write: whole lines, even when
            # several workers append to the file.
            with self._path.open("ab", buffering=0) as file:
                file.write(lines)
        except OSError:
            for _ in records:
                self._dropped()


class NoAccessLog(AccessLog):
    """Records are made, for traces, and written nowhere."""

    def __init__(self) -> None:
        pass

    def write(self, record: dict[str, object]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def record_of(
    exchange: "Exchange",
    pick: Pick | None,
    fleet: Fleet,
    status: int,
    first_s: float,
    output_tokens: int,
    now_s: float,
) -> dict[str, object]:
    """The line of one request. first_s: when its streamed answer began, 0 when it did not."""
    request, head = exchange.request, exchange.plan.head
    record: dict[str, object] = {
        "at": round(time() - (now_s - exchange.started_s), 6),
        "request_id": exchange.request_id.decode("ascii"),
        "client": exchange.client.peer,
        "method": head.method.decode("ascii"),
        "path": head.path.decode("ascii"),
        "status": status,
        "pool": exchange.pool_name,
        "replica": fleet.ids[pick.slot] if pick is not None else "",
        "model": request.model,
        "streams": request.streams,
        "prompt_tokens": request.prompt_tokens,
        "output_tokens": output_tokens,
        "ttft_s": round(first_s - exchange.started_s, 6) if first_s else None,
        "total_s": round(now_s - exchange.started_s, 6),
        "attempts": exchange.attempts,
        "tenant": _tenant_of(exchange),
        "reason": pick.reason if pick is not None else "",
        "error": exchange.last_error,
    }
    if exchange.context.configuration.access_log_decisions:
        record["prefix_block_tokens"] = request.prefix_block_tokens
        record["prefix_hashes"] = request.prefix_hashes
        record["decision"] = decision(pick, fleet.ids) if pick is not None else None
    if exchange.context.tracing is not None:
        exchange.context.tracing.ended(exchange, pick, fleet, record)
    return record


def _tenant_of(exchange: "Exchange") -> str:
    admission = exchange.admission
    return admission.tenant.name if admission is not None and admission.tenant is not None else ""
