"""Deficit longest prefix match: the request whose prompt is cached best is next, within fair shares.

Each tenant has a deficit. While it is above 0 the tenant's requests may be served, those with the longest
cached prefix first, whoever's they are; serving takes the tokens that had to be computed from the deficit.
When no waiting tenant has any left, all are given one more quantum (as many as it takes for one of them
to rise above 0), those that do not wait up to one quantum of credit. A larger quantum keeps more cache
locality and less fairness: the gap between two backlogged tenants is at most a quantum and one request.
Source: DLPM (arXiv 2501.14312). Ties: the tenant that was served longest ago, so that a flood of equals
is not ahead by having come first. Cost: O(log waiting) a call, a refill O(tenants) once a quantum; the
tenants remembered are bounded.
"""

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import floor

from steelyard.policies.admission.waiting import Waiting

MAX_TENANTS = 10_000


@dataclass(slots=True)
class _Tenant:
    deficit: float
    heap: list[tuple[int, int, Waiting]] = field(default_factory=list)
    served: int = 0  # the number of the turn in which it was served last
    quanta: int = 0  # given to all when it last looked
    listed: int = -1  # the arrival number of the head entered into the order's heap, -1 for none


class DeficitLongestPrefixMatch:
    """The order of one priority class."""

    def __init__(self, quantum: float = 20_000.0) -> None:
        self._quantum = quantum
        self._tenants: dict[str, _Tenant] = {}
        self._heads: list[tuple[int, int, int, str]] = []
        self._turn = self._quanta = 0
        self._parked: set[str] = set()

    def push(self, item: Waiting) -> None:
        """A request begins to wait."""
        tenant = self._tenants.get(item.tenant)
        if tenant is None:
            tenant = self._remember(item.tenant)
        if not tenant.heap:
            missed = self._quantum * (self._quanta - tenant.quanta)
            tenant.deficit = min(self._quantum, tenant.deficit + missed)
            tenant.quanta = self._quanta
        heappush(tenant.heap, (-item.cached_tokens, item.order, item))
        self._list(item.tenant, tenant)

    def pop(self) -> Waiting | None:
        """The next request, charged."""
        while True:
            name = self._first()
            if name is None:
                if not self._refill():
                    return None
                continue
            tenant = self._tenants[name]
            item = heappop(tenant.heap)[2]
            tenant.listed = -1
            if not item.gone:
                self._turn += 1
                tenant.served = self._turn
                tenant.deficit -= item.cost / item.weight
            self._list(name, tenant)
            if not item.gone:
                return item

    def restore(self, item: Waiting) -> None:
        """The request that came out last waits again, and is not charged."""
        self.push(item)
        self.charge(item.tenant, -item.cost, item.weight)

    def serve(self, tenant: str, cost: float, weight: float = 1.0) -> None:
        """A request did not wait: it counts, but nobody owes more than a quantum for what was free."""
        known = self._tenants.get(tenant)
        if known is None:
            known = self._remember(tenant)
        known.deficit = max(-self._quantum, known.deficit - cost / weight)

    def charge(self, tenant: str, amount: float, weight: float = 1.0) -> None:
        """Correct a tenant's deficit; an idle tenant keeps a debt, and at most one quantum of credit."""
        known = self._tenants.get(tenant)
        if known is None:
            known = self._remember(tenant)
        known.deficit = min(self._quantum, known.deficit - amount / weight)
        if known.deficit > 0 and tenant in self._parked:
            self._parked.discard(tenant)
            known.listed = -1
            self._list(tenant, known)

    def sweep(self) -> None:
        """Let go of what is gone."""
        self._heads.clear()
        self._parked.clear()
        for name, tenant in self._tenants.items():
            tenant.heap = [entry for entry in tenant.heap if not entry[2].gone]
            heapify(tenant.heap)
            tenant.listed = -1
            self._list(name, tenant)

    def _list(self, name: str, tenant: _Tenant) -> None:
        """Enter a tenant's best request into the order, or park the tenant while it has no share left."""
        if not tenant.heap:
            self._parked.discard(name)
            return
        if tenant.deficit <= 0:
            self._parked.add(name)
            return
        match, order, _ = tenant.heap[0]
        if tenant.listed != order:
            tenant.listed = order
            heappush(self._heads, (match, tenant.served, order, name))

    def _first(self) -> str | None:
        while self._heads:
            _, _, order, name = heappop(self._heads)
            tenant = self._tenants.get(name)
            if tenant is None or tenant.listed != order or not tenant.heap:
                continue  # a better request of the same tenant was listed since
            if tenant.deficit <= 0:
                tenant.listed = -1
                self._parked.add(name)
                continue
            return name
        return None

    def _refill(self) -> bool:
        """Give quanta until one parked tenant may be served; whether there was one."""
        if not self._parked:
            return False
        parked = sorted(self._parked)
        best = max(self._tenants[name].deficit for name in parked)
        quanta = floor(-best / self._quantum) + 1
        given = self._quantum * quanta
        self._quanta += quanta
        for name in parked:
            tenant = self._tenants[name]
            tenant.deficit += given
            tenant.quanta = self._quanta
            if tenant.deficit > 0:
                self._parked.discard(name)
                self._list(name, tenant)
        return True

    def _remember(self, name: str) -> _Tenant:
        if len(self._tenants) >= MAX_TENANTS:
            idle = [each for each, known in self._tenants.items() if not known.heap]
            for each in idle[: MAX_TENANTS // 10]:
                del self._tenants[each]
        tenant = self._tenants[name] = _Tenant(self._quantum, quanta=self._quanta)
        return tenant
