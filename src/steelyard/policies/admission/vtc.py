"""Virtual token counter: the tenant that has been given the least is next.

Each tenant has a counter of weighted tokens (2 an output token, 1 a prompt token) divided by its share;
the least counter is served first, its requests in order of arrival. A tenant that comes back with an empty
queue is lifted to the least counter among those that wait, or to the last served one's when nobody
does, so that idle time earns no credit. A request is charged what it is expected to cost and corrected
when it ends. Source: VTC (arXiv 2401.00588). Ties: the tenant that has waited longest. Cost: O(log
tenants) a call; the tenants remembered are bounded.
"""

from collections import deque
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from steelyard.policies.admission.waiting import Waiting

MAX_TENANTS = 10_000


@dataclass(slots=True)
class _Tenant:
    counter: float = 0.0
    waiting: deque[Waiting] = field(default_factory=deque)
    key: tuple[float, int] | None = None  # of its one valid entry in the heap


class VirtualTokenCounter:
    """The order of one priority class."""

    def __init__(self) -> None:
        self._tenants: dict[str, _Tenant] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._floor = 0.0

    def push(self, item: Waiting) -> None:
        """A request begins to wait."""
        tenant = self._tenants.get(item.tenant)
        if tenant is None:
            tenant = self._remember(item.tenant)
        if not tenant.waiting:
            tenant.counter = max(tenant.counter, self._least())
        tenant.waiting.append(item)
        if tenant.key is None:
            self._enter(item.tenant, tenant)

    def pop(self) -> Waiting | None:
        """The next request, charged."""
        while (name := self._first()) is not None:
            tenant = self._tenants[name]
            item = tenant.waiting.popleft()
            if not item.gone:
                self._floor = tenant.counter
                tenant.counter += item.cost / item.weight
            if tenant.waiting:
                self._enter(name, tenant)
            else:
                tenant.key = None
            if not item.gone:
                return item
        return None

    def restore(self, item: Waiting) -> None:
        """The request that came out last is its tenant's first again, and not charged."""
        tenant = self._tenants.get(item.tenant)
        if tenant is None:
            tenant = self._remember(item.tenant)
        tenant.counter -= item.cost / item.weight
        tenant.waiting.appendleft(item)
        self._enter(item.tenant, tenant)

    def serve(self, tenant: str, cost: float, weight: float = 1.0) -> None:
        """A request did not wait. Its tenant earns no credit before, and the floor follows it."""
        known = self._tenants.get(tenant)
        if known is None:
            known = self._remember(tenant)
        if known.key is None:
            known.counter = self._floor = max(known.counter, self._least())
        known.counter += cost / weight

    def charge(self, tenant: str, amount: float, weight: float = 1.0) -> None:
        """Correct a tenant's counter; one that is not known starts at the floor."""
        known = self._tenants.get(tenant)
        if known is None:
            known = self._remember(tenant)
            known.counter = self._floor
        known.counter += amount / weight
        if amount < 0 and known.key is not None:
            self._enter(tenant, known)  # an entry that is too low mends itself, one too high would not

    def counter(self, tenant: str) -> float:
        """A tenant's counter; 0 for one that is not known."""
        known = self._tenants.get(tenant)
        return known.counter if known is not None else 0.0

    def sweep(self) -> None:
        """Let go of what is gone."""
        for tenant in self._tenants.values():
            if tenant.key is not None:
                tenant.waiting = deque(item for item in tenant.waiting if not item.gone)
                tenant.key = (tenant.counter, tenant.waiting[0].order) if tenant.waiting else None
        self._rebuild()

    # --- the heap, with stale entries dropped when they are met ----------------------------------

    def _enter(self, name: str, tenant: _Tenant) -> None:
        key = tenant.key = (tenant.counter, tenant.waiting[0].order)
        heappush(self._heap, (*key, name))
        if len(self._heap) > 4 * len(self._tenants) + 64:
            self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(*tenant.key, name) for name, tenant in self._tenants.items() if tenant.key is not None]
        heapify(self._heap)

    def _first(self) -> str | None:
        """The tenant with the least counter, its entry taken off; None when nobody waits."""
        while self._heap:
            counter, order, name = heappop(self._heap)
            tenant = self._tenants.get(name)
            if tenant is None or tenant.key != (counter, order):
                continue
            if counter < tenant.counter:
                self._enter(name, tenant)
                continue
            return name
        return None

    def _least(self) -> float:
        """The least counter among those that wait, else the last served one's."""
        while self._heap:
            counter, order, name = self._heap[0]
            tenant = self._tenants.get(name)
            if tenant is not None and tenant.key == (counter, order):
                return tenant.counter
            heappop(self._heap)
        return self._floor

    def _remember(self, name: str) -> _Tenant:
        if len(self._tenants) >= MAX_TENANTS:
            idle = [each for each, known in self._tenants.items() if known.key is None]
            for each in idle[: MAX_TENANTS // 10 or 1]:
                del self._tenants[each]
        tenant = self._tenants[name] = _Tenant()
        return tenant
