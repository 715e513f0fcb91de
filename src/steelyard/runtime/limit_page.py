"""What tenants have taken, in memory shared by all workers of a gateway, also those that a reload replaces.

One row a worker process, one slot a limited subject; a word has one writer. A row outlives its process: what
was taken stays taken, and only what ran in it ends with it. The page is made once, so limits hold
through reloads. A reload gives each subject the slot it had.
"""

import mmap
import os
from collections.abc import Iterable

from steelyard.policies.admission.limiter import ROW_WORDS, RUNNING

SLOTS = 4096
_WORD = 8
_ROW_BYTES = SLOTS * ROW_WORDS * _WORD


class LimitPage:
    """The page, mapped into this process."""

    def __init__(self, descriptor: int, rows: int) -> None:
        self.descriptor = descriptor
        self.rows = rows
        self._map = mmap.mmap(descriptor, rows * _ROW_BYTES)
        self._bytes = memoryview(self._map)

    @classmethod
    def create(cls, rows: int) -> "LimitPage":
        """Make a new page, all zeros: it takes memory only where something is written."""
        descriptor = os.memfd_create("steelyard-limits", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, rows * _ROW_BYTES)
        return cls(descriptor, rows)

    def row(self, number: int) -> memoryview:
        """One process's words."""
        return self._bytes[number * _ROW_BYTES : (number + 1) * _ROW_BYTES].cast("q")

    def end_row(self, number: int, slots: Iterable[int]) -> None:
        """A process ended: nothing runs in it any more."""
        row = self.row(number)
        for slot in slots:
            row[slot * ROW_WORDS + RUNNING] = 0

    def totals(self, slot: int) -> list[int]:
        """A subject's words, summed over all rows; only the sums of counts mean anything."""
        at = slot * ROW_WORDS
        return [
            sum(words)
            for words in zip(*(self.row(n)[at : at + ROW_WORDS] for n in range(self.rows)), strict=True)
        ]


class SlotTable:
    """Which subject has which slot, kept by the supervisor."""

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}

    def assign(self, subjects: Iterable[str]) -> dict[str, int]:
        """A slot for each subject, the one it had if it had one. Raises ValueError when there are too many.

        Slots of subjects that are gone are given away only when no fresh one is left.
        """
        wanted = list(dict.fromkeys(subjects))
        taken, kept = set(self._slots.values()), set(wanted)
        free = [slot for slot in range(SLOTS - 1, -1, -1) if slot not in taken]
        gone = [subject for subject in self._slots if subject not in kept]
        for subject in wanted:
            if subject in self._slots:
                continue
            if free:
                self._slots[subject] = free.pop()
            elif gone:
                self._slots[subject] = self._slots.pop(gone.pop())
            else:
                raise ValueError(f"there are over {SLOTS} limited subjects")
        return {subject: self._slots[subject] for subject in wanted}
