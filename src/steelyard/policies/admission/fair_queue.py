"""A bounded queue before full replicas: priority classes, fair between tenants, nobody waits in vain.

A lower number of a class goes first, but no class starves: one that waits has at least one turn in
`MOST_PASSED + 1`, after that many went to classes above it. Within a class an order (VTC, DLPM, first come)
decides. The queue is shared by a dynamic threshold: a tenant may have at most `SHARE` times the room that
is still free, so that one that floods it can never fill it (one flooder holds 8/9, two hold 8/17 each, and
a newcomer finds the rest free). Source: Choudhury and Hahne, dynamic queue length thresholds (IEEE/ACM ToN
6(2), 1998).

A request that could not be served before its deadline is refused at once, with the time after which a place
is to be expected: both from the rate at which requests left lately, and the turns before it: its tenant's
own, times the tenants that take turns with it, and all of the classes above. Cost: O(log waiting) a call.
"""

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

from steelyard.policies.admission.verdicts import NoRoom
from steelyard.policies.admission.waiting import FairOrder, Waiting

SHARE = 8
MOST_PASSED = 15
RATE_TIME_S = 5.0


class FairQueue:
    """Requests that wait for a replica."""

    def __init__(self, new_order: Callable[[], FairOrder], max_waiting: int) -> None:
        self._new_order = new_order
        self._max_waiting = max_waiting
        self._classes: dict[int, FairOrder] = {}
        self._in_class: dict[int, dict[str, int]] = {}
        self._totals: dict[int, int] = {}
        self._passed: dict[int, int] = {}  # turns that a waiting class saw go to those above it
        self._deadlines: list[tuple[float, int, Waiting]] = []
        self._arrivals = 0
        self._cancelled = 0
        self._rate_per_s = 0.0
        self._rate_seen_s = 0.0
        self._left_since = 0
        self.waiting = 0

    def push(self, item: Waiting, now_s: float) -> NoRoom | None:
        """Let a request wait, or say why it may not."""
        counts = self._in_class.setdefault(item.priority, {})
        mine = counts.get(item.tenant, 0)
        if mine + 1 > SHARE * (self._max_waiting - self.waiting):
            return NoRoom(True, self._wait_s(max(1, len(counts))))
        wait_s = self.expected_wait_s(item.tenant, item.priority)
        if now_s + wait_s > item.deadline_s:
            return NoRoom(False, wait_s - (item.deadline_s - now_s))
        if not self.waiting:
            self._rate_seen_s, self._left_since = now_s, 0  # an idle queue says nothing of the rate
        self._arrivals += 1
        item.order, item.queued_s = self._arrivals, now_s
        self._order_of(item.priority).push(item)
        counts[item.tenant] = mine + 1
        self._count(item.priority, 1)
        heappush(self._deadlines, (item.deadline_s, item.order, item))
        if self._cancelled > self.waiting + 64 or len(self._deadlines) > 2 * self.waiting + 256:
            self._sweep()
        return None

    def pop(self, now_s: float) -> Waiting | None:
        """The next request to serve; None when nobody waits."""
        for priority in self._in_turn():
            item = self._classes[priority].pop()
            if item is not None:
                item.passed, self._passed[priority] = self._passed.get(priority, 0), 0
                self._forget(item)
                self._pass_over(priority, 1)
                self._left(now_s)
                return item
        return None

    def _in_turn(self) -> list[int]:
        """The classes in the order of their turns now."""
        every = sorted(self._classes)
        overdue = [each for each in every if self._passed.get(each, 0) >= MOST_PASSED]
        return [*overdue, *(each for each in every if each not in overdue)] if overdue else every

    def _pass_over(self, priority: int, turns: int) -> None:
        for other, waiting in self._totals.items():
            if other > priority and waiting:
                self._passed[other] = max(0, self._passed.get(other, 0) + turns)

    def put_back(self, item: Waiting) -> None:
        """A request that was popped cannot be served yet after all; it keeps its deadline."""
        item.gone = False
        self._left_since -= 1
        self._passed[item.priority] = item.passed
        self._pass_over(item.priority, -1)
        self._order_of(item.priority).restore(item)
        counts = self._in_class.setdefault(item.priority, {})
        counts[item.tenant] = counts.get(item.tenant, 0) + 1
        self._count(item.priority, 1)
        heappush(self._deadlines, (item.deadline_s, item.order, item))

    def cancel(self, item: Waiting) -> None:
        """Its client left."""
        if not item.gone:
            self._cancelled += 1
            self._forget(item)

    def expired(self, now_s: float) -> Iterator[Waiting]:
        """Take out those whose deadline has passed."""
        while self._deadlines and (self._deadlines[0][0] <= now_s or self._deadlines[0][2].gone):
            item = heappop(self._deadlines)[2]
            if not item.gone:
                self._cancelled += 1
                self._forget(item)
                yield item

    def _sweep(self) -> None:
        """Orders and deadlines hold what was cancelled until they meet it: never more than what waits."""
        self._cancelled = 0
        self._deadlines = [entry for entry in self._deadlines if not entry[2].gone]
        heapify(self._deadlines)
        for order in self._classes.values():
            order.sweep()

    def settle(self, item: Waiting, cost: float) -> None:
        """A request ended that cost otherwise than was expected."""
        self._order_of(item.priority).charge(item.tenant, cost - item.cost, item.weight)

    def serve(self, tenant: str, priority: int, cost: float, weight: float = 1.0) -> None:
        """A request is served without waiting: it counts all the same."""
        self._order_of(priority).serve(tenant, cost, weight)

    def charge(self, tenant: str, priority: int, amount: float, weight: float = 1.0) -> None:
        """A request that did not wait cost so much more than was said of it, or less (below 0)."""
        self._order_of(priority).charge(tenant, amount, weight)

    def waits(self, tenant: str, priority: int) -> bool:
        """Whether a tenant has a request in the queue."""
        return tenant in self._in_class.get(priority, {})

    @property
    def tenants_waiting(self) -> int:
        """Tenants with a request in the queue, once a class."""
        return sum([len(counts) for counts in self._in_class.values()])

    def expected_wait_s(self, tenant: str, priority: int) -> float:
        """How long one more request of a tenant would wait; 0 when nothing is known."""
        counts = self._in_class.get(priority, {})
        mine = counts.get(tenant, 0)
        # In fair turns every other tenant is served at most as often as this one until its turn comes.
        others = self._totals.get(priority, 0) - mine
        turns = mine + min(others, (mine + 1) * len(counts))
        above = sum(total for other, total in self._totals.items() if other < priority)
        return self._wait_s(turns + min(above, MOST_PASSED * (turns + 1)))

    def _wait_s(self, turns: int) -> float:
        return turns / self._rate_per_s if self._rate_per_s > 0 else 0.0

    def _left(self, now_s: float) -> None:
        """Learn the rate at which the queue moves, while it has something to move."""
        self._left_since += 1
        elapsed_s = now_s - self._rate_seen_s
        if elapsed_s < 0.1:
            return
        rate = self._left_since / elapsed_s
        if self._rate_per_s == 0:
            self._rate_per_s = rate
        else:
            self._rate_per_s += (rate - self._rate_per_s) * min(1.0, elapsed_s / RATE_TIME_S)
        self._rate_seen_s, self._left_since = now_s, 0

    def _forget(self, item: Waiting) -> None:
        item.gone = True  # heaps that still hold it drop it when they meet it
        self._count(item.priority, -1)
        counts = self._in_class[item.priority]
        left = counts[item.tenant] - 1
        if left:
            counts[item.tenant] = left
        else:
            del counts[item.tenant]

    def _count(self, priority: int, change: int) -> None:
        self.waiting += change
        self._totals[priority] = self._totals.get(priority, 0) + change

    def _order_of(self, priority: int) -> FairOrder:
        order = self._classes.get(priority)
        if order is None:
            order = self._classes[priority] = self._new_order()
        return order
