"""One page of memory shared by the supervisor and its workers; they share memory, not messages.

Regions, each with one writer or safe with many, so that nothing is locked:

- the fleet table, written by the supervisor under a sequence number (odd while it writes; a reader that saw
  it change reads again);
- a ledger row a worker: what it has in flight on each replica;
- a counter row a worker: what it has served. Rows outlive their worker, so totals never fall;
- the question board: what the supervisor asks, and a place a worker for its answer (`questions`);
- the prefix index, which all write: each word is right or costs a cache miss (`policies.prefix_index`).

The memory is an anonymous file whose descriptor workers inherit. Words are 64-bit and aligned, so each is
read and written whole.
"""

import mmap
import os
from typing import Final

from steelyard.runtime.questions import QuestionBoard, board_bytes

MAX_SLOTS: Final = 1024
MAX_ROWS = 129  # two for each of 64 workers, and one
LEDGER_COLUMNS = 3
COUNTERS = 8192
FLEET_BYTES = 1 << 20

_WORD = 8
_HEADER_BYTES = 4096
_SEQUENCE, _LENGTH, _ROWS_SEQUENCE = 0, 1, 2
_OUT_OF_USE_AT = 16  # one word a row


class SharedPage:
    """The page, mapped into this process."""

    def __init__(self, descriptor: int, workers: int) -> None:
        self.descriptor = descriptor
        self.workers = workers
        self._row_words = LEDGER_COLUMNS * MAX_SLOTS
        ledger_bytes = workers * self._row_words * _WORD
        self._ledger_at = _HEADER_BYTES + FLEET_BYTES
        self._counters_at = self._ledger_at + ledger_bytes
        self._board_at = self._counters_at + workers * COUNTERS * _WORD
        self._index_at = self._board_at + board_bytes(workers)
        self._map = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        self._bytes = memoryview(self._map)
        self._header = self._bytes[:_HEADER_BYTES].cast("q")

    @classmethod
    def create(cls, workers: int, index_bytes: int = 0) -> "SharedPage":
        """Make a new page with so many rows and an index, all zeros. Raises ValueError for too many."""
        if not 1 <= workers <= MAX_ROWS:
            raise ValueError(f"a page of {workers} rows: it must be 1 to {MAX_ROWS}")
        descriptor = os.memfd_create("steelyard", os.MFD_CLOEXEC)
        words = LEDGER_COLUMNS * MAX_SLOTS + COUNTERS
        size = _HEADER_BYTES + FLEET_BYTES + workers * words * _WORD + board_bytes(workers)
        os.ftruncate(descriptor, size + index_bytes)
        return cls(descriptor, workers)

    def publish_fleet(self, table: bytes) -> None:
        """Replace the fleet table; only the supervisor calls this. Raises ValueError when it is too large."""
        if len(table) > FLEET_BYTES:
            raise ValueError(f"the fleet table takes {len(table)} bytes: {FLEET_BYTES} is the most")
        header = self._header
        header[_SEQUENCE] += 1
        header[_LENGTH] = len(table)
        self._bytes[_HEADER_BYTES : _HEADER_BYTES + len(table)] = table
        header[_SEQUENCE] += 1

    @property
    def fleet_sequence(self) -> int:
        """Changes whenever the fleet table does."""
        return self._header[_SEQUENCE]

    def read_fleet(self) -> tuple[int, bytes] | None:
        """(sequence, table), or None while it is being written: ask again later."""
        before = self._header[_SEQUENCE]
        table = bytes(self._bytes[_HEADER_BYTES : _HEADER_BYTES + self._header[_LENGTH]])
        if before % 2 or before != self._header[_SEQUENCE]:
            return None
        return before, table

    def set_in_use(self, row: int, in_use: bool) -> None:
        """Say whether anybody writes a row; only the supervisor calls this. In a new page all are."""
        self._header[_OUT_OF_USE_AT + row] = not in_use
        self._header[_ROWS_SEQUENCE] += 1

    @property
    def rows_sequence(self) -> int:
        """Changes whenever a row comes into use or out of it."""
        return self._header[_ROWS_SEQUENCE]

    @property
    def rows_in_use(self) -> list[int]:
        """The rows that somebody writes."""
        return [row for row in range(self.workers) if not self._header[_OUT_OF_USE_AT + row]]

    def ledger_row(self, worker: int) -> memoryview:
        """A worker's words: `LEDGER_COLUMNS` columns of `MAX_SLOTS` each."""
        start = self._ledger_at + worker * self._row_words * _WORD
        return self._bytes[start : start + self._row_words * _WORD].cast("q")

    def clear_ledger_row(self, worker: int) -> None:
        """What a dead worker had in flight is in flight no more."""
        row = self.ledger_row(worker)
        row[:] = memoryview(bytes(len(row) * _WORD)).cast("q")

    def question_board(self) -> QuestionBoard:
        """Where the supervisor asks and workers answer."""
        return QuestionBoard(self._bytes[self._board_at : self._index_at], self.workers)

    @property
    def index_memory(self) -> memoryview:
        """Where the prefix index lies; empty when the page was made without."""
        return self._bytes[self._index_at :]

    def counter_row(self, worker: int) -> memoryview:
        """A worker's counters."""
        start = self._counters_at + worker * COUNTERS * _WORD
        return self._bytes[start : start + COUNTERS * _WORD].cast("q")
