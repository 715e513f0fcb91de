"""First come, first served: the baseline, fair to requests and to nobody else. Ties: none. Cost: O(1)."""

from collections import deque

from steelyard.policies.admission.waiting import Waiting


class FirstCome:
    """The order of one priority class."""

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()

    def push(self, item: Waiting) -> None:
        """A request begins to wait."""
        self._waiting.append(item)

    def pop(self) -> Waiting | None:
        """The next request."""
        while self._waiting:
            item = self._waiting.popleft()
            if not item.gone:
                return item
        return None

    def restore(self, item: Waiting) -> None:
        """The request that came out last is the first again."""
        self._waiting.appendleft(item)

    def serve(self, tenant: str, cost: float, weight: float = 1.0) -> None:
        """Nothing is kept of what tenants took."""

    def charge(self, tenant: str, amount: float, weight: float = 1.0) -> None:
        """Nothing is kept of what tenants took."""

    def sweep(self) -> None:
        """Let go of what is gone."""
        self._waiting = deque(item for item in self._waiting if not item.gone)
