"""A ledger whose counts other workers see, and which sees theirs.

A worker writes its own row only, so no lock is needed; the policies read the Fleet columns, which hold
own + others. Others' rows are summed at most once a millisecond: their picks are then that much out of
date, ours never. With one worker there is nothing to sum. Cost: three words a charge; a refresh 5 µs
for ten replicas.
"""

from steelyard.cluster.ledger import Ledger
from steelyard.model.fleet import Fleet
from steelyard.runtime.page import MAX_SLOTS, SharedPage

REFRESH_S = 0.001
OUTPUT_AT = 2 * MAX_SLOTS


class SharedLedger(Ledger):
    """A worker's view of what is in flight everywhere."""

    __slots__ = ("_next_refresh_s", "_others", "_row")

    def __init__(self, fleet: Fleet, page: SharedPage, worker: int) -> None:
        super().__init__(fleet)
        self._row = page.ledger_row(worker)
        self._others = [page.ledger_row(other) for other in range(page.workers) if other != worker]
        self._next_refresh_s = 0.0

    def refresh(self, now_s: float) -> None:
        """Sum all rows into the fleet's columns, if the last time is long enough ago."""
        if not self._others or now_s < self._next_refresh_s:
            return
        self._next_refresh_s = now_s + REFRESH_S
        fleet, slots = self.fleet, len(self.fleet)
        for column, values in enumerate((fleet.requests, fleet.queued_prompt_tokens, fleet.output_tokens)):
            start = column * MAX_SLOTS
            rows = [row[start : start + slots].tolist() for row in (self._row, *self._others)]
            values[:] = map(sum, zip(*rows, strict=True))

    # Written out rather than through `super()` and `max`: four times a request, a microsecond each time.

    def charge(self, slot: int, prompt_tokens: int, output_tokens: int) -> None:
        """A request is about to be sent."""
        fleet, row = self.fleet, self._row
        fleet.requests[slot] += 1
        fleet.queued_prompt_tokens[slot] += prompt_tokens
        fleet.output_tokens[slot] += output_tokens
        row[slot] += 1
        row[MAX_SLOTS + slot] += prompt_tokens
        row[OUTPUT_AT + slot] += output_tokens

    def first_token(self, slot: int, prompt_tokens: int) -> None:
        """The prompt of a request has been processed."""
        super().first_token(slot, prompt_tokens)
        row = self._row
        row[MAX_SLOTS + slot] = max(0, row[MAX_SLOTS + slot] - prompt_tokens)

    def release(self, slot: int, prompt_tokens_left: int, output_tokens: int) -> None:
        """A request ended, however it did."""
        fleet, row = self.fleet, self._row
        for column, at, taken in (
            (fleet.requests, slot, 1),
            (fleet.output_tokens, OUTPUT_AT + slot, output_tokens),
            (fleet.queued_prompt_tokens, MAX_SLOTS + slot, prompt_tokens_left),
        ):
            if taken:
                left = column[slot] - taken
                column[slot] = left if left > 0 else 0
                left = row[at] - taken
                row[at] = left if left > 0 else 0
