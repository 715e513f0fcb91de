"""What is in flight on each replica: charged before a request is sent, released exactly once.

Nothing goes below zero and no timer drops a live request, so a count is wrong only if a caller
releases twice; `Exchange._release` is the one place that releases. Cost: three list writes a charge.
"""

from steelyard.model.fleet import Fleet


class Ledger:
    """Counts in plain memory: one process, or the simulator."""

    __slots__ = ("fleet",)

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    def refresh(self, now_s: float) -> None:
        """Take in what other processes did; there are none."""

    def charge(self, slot: int, prompt_tokens: int, output_tokens: int) -> None:
        """A request is about to be sent."""
        fleet = self.fleet
        requests = fleet.requests[slot] + 1
        fleet.requests[slot] = requests
        if fleet.order is not None:
            fleet.order.moved(slot, requests)
        fleet.queued_prompt_tokens[slot] += prompt_tokens
        fleet.output_tokens[slot] += output_tokens

    def first_token(self, slot: int, prompt_tokens: int) -> None:
        """The prompt of a request has been processed."""
        fleet = self.fleet
        fleet.queued_prompt_tokens[slot] = max(0, fleet.queued_prompt_tokens[slot] - prompt_tokens)

    def release(self, slot: int, prompt_tokens_left: int, output_tokens: int) -> None:
        """A request ended, however it did."""
        fleet = self.fleet
        left = fleet.requests[slot] - 1
        left = left if left > 0 else 0
        fleet.requests[slot] = left
        if fleet.order is not None:
            fleet.order.moved(slot, left)
        left = fleet.output_tokens[slot] - output_tokens
        fleet.output_tokens[slot] = left if left > 0 else 0
        if prompt_tokens_left:
            left = fleet.queued_prompt_tokens[slot] - prompt_tokens_left
            fleet.queued_prompt_tokens[slot] = left if left > 0 else 0
