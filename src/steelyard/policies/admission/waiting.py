"""A request that waits, and what an order of service must do."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True, eq=False)
class Waiting:
    """One request in the queue.

    cost: what it will take of its tenant's share, in weighted tokens.
    cached_tokens: prompt tokens that some replica already holds.
    deadline_s: when it is of no use any more.
    order: arrival number; earlier is smaller.
    passed: turns that its class had seen go to others when it came out.
    payload: whatever the caller wants back.
    """

    tenant: str
    cost: float
    deadline_s: float
    cached_tokens: int = 0
    weight: float = 1.0
    priority: int = 0
    payload: object = None
    order: int = 0
    queued_s: float = 0.0
    passed: int = 0
    gone: bool = field(default=False)


class FairOrder(Protocol):
    """Which tenant's request is next. Requests of one tenant may be reordered only as the order says."""

    def push(self, item: Waiting) -> None:
        """A request begins to wait."""

    def pop(self) -> Waiting | None:
        """The next request that is not gone, charged to its tenant; None when none waits."""

    def restore(self, item: Waiting) -> None:
        """The request that came out last cannot be served yet: undo that, charge and all."""

    def serve(self, tenant: str, cost: float, weight: float = 1.0) -> None:
        """A tenant's request was served without waiting: it counts all the same."""

    def charge(self, tenant: str, amount: float, weight: float = 1.0) -> None:
        """A tenant took more than its requests' cost said, or less (below 0)."""

    def sweep(self) -> None:
        """Let go of what is gone."""
