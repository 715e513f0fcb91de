"""One JSON line a request, off the hot path: lines gather in memory and a thread writes them.

When the disk is full or slow, requests are served on and lines are dropped and counted; what waits has
a bound.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

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
