"""The door of a pool whose replicas can be full: a request goes in, waits fairly, or is sent away.

A replica is full when it has its limit in flight: a fixed one, or one learned from its time per token
(`policies/admission/gradient.py`). What another worker gives free is noticed within `LOOK_S`. A retry does
not wait again: its request has had its turn. A tenant that holds many places leaves the last ones, the
headroom, to those that hold few: requests of one flood begin and end together, and a quiet tenant would wait
for a whole round of them. Turns are fair over all workers: while a tenant waits here, what it is served
elsewhere counts as well. Cost when there is room: 3 µs for ten replicas.
"""

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from steelyard.config.access import PRIORITIES, AdmissionOptions
from steelyard.gateway import refusals
from steelyard.model.fleet import Fleet
from steelyard.model.pick import Pick
from steelyard.policies.admission.fair_queue import FairQueue
from steelyard.policies.admission.gradient import Gradient
from steelyard.policies.admission.registry import ORDERS
from steelyard.policies.admission.waiting import Waiting
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.routing.router import Router

if TYPE_CHECKING:
    from steelyard.gateway.admission import Admission
    from steelyard.gateway.exchange import Exchange
    from steelyard.gateway.tenants import Tenant

LOOK_S = 0.005
MOST_IN_FLIGHT = 4096  # of an adaptive limit without a bound
MAX_PASSED_OVER = 8
STANDARD = PRIORITIES["standard"]
OUTPUT_WEIGHT, PROMPT_WEIGHT = 2.0, 1.0  # VTC's prices: an output token takes a step, prompts go in bulk

Schedule = Callable[[float, Callable[[], None]], object]


class Door:
    """One pool's, in one worker. schedule: calls a function after so many seconds."""

    def __init__(
        self,
        options: AdmissionOptions,
        router: Router,
        fleet: Fleet,
        index: PrefixIndex | None,
        schedule: Schedule,
    ) -> None:
        self._options = options
        self._router = router
        self._fleet = fleet
        self._index = index
        self._schedule = schedule
        self._queue = FairQueue(ORDERS[options.order], options.max_waiting)
        self._gradients: dict[int, Gradient] = {}
        self._least_limit = options.max_in_flight or MOST_IN_FLIGHT
        self._called: Exchange | None = None
        self._running: dict[str, int] = {}
        self._slots: list[int] = []
        self._waiting_here: dict[str, Tenant] = {}
        self._pool = ""
        self._places = self._kept = 0  # of the pool; those that a tenant with many leaves free
        self._headroom_fraction = options.headroom_fraction
        self._fleet_version = -1
        self._looking = False
        self._last_model = ""
        self._mixed = False  # requests for several models wait: one may find room that another does not
        self._calling = False

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._queue.waiting

    def limit(self, slot: int) -> int:
        """Requests that a replica may have in flight."""
        gradient = self._gradients.get(slot)
        return gradient.limit if gradient is not None else self._options.max_in_flight or MOST_IN_FLIGHT

    # --- in ------------------------------------------------------------------------------------

    def route(self, exchange: "Exchange", now_s: float) -> Pick | None:
        """A replica with room; None when the request waits or was answered. Raises NoEligibleReplica."""
        if exchange.tried or _admission(exchange).placed:
            pick = self._with_room(exchange, now_s)
            return pick or self._router.route(exchange.pool_name, exchange.request, exchange.tried, now_s)
        if exchange is self._called or not self._queue.waiting:
            pick = self._with_room(exchange, now_s)
            if pick is not None:
                if exchange is not self._called:
                    self._go_straight(exchange)
                elif (item := _admission(exchange).item) is not None:
                    self._tell(_admission(exchange).tenant, item.cost)
                self._count(_admission(exchange), 1)
                return pick
            if exchange is self._called:
                return None
        self._wait(exchange, now_s)
        return None

    def _leaves_headroom(self, exchange: "Exchange") -> bool:
        """Whether a tenant may take one more place without touching those kept for others."""
        tenant = _admission(exchange).tenant
        if tenant is None or not self._headroom_fraction:
            return True
        if self._fleet_version != self._fleet.version or self._gradients:
            self._fleet_version = self._fleet.version
            self._slots = self._router.slots(exchange.pool_name)
            self._places = sum([self.limit(slot) for slot in self._slots])
            self._kept = int(self._headroom_fraction * self._places)
        running = self._running.get(tenant.name, 0)
        if running < self._kept or not running:
            return True
        requests = self._fleet.requests
        return self._places - sum([requests[slot] for slot in self._slots]) > self._kept

    def _go_straight(self, exchange: "Exchange") -> None:
        """It does not wait; it counts all the same. No `Waiting` is made: that took 2 µs a request."""
        admission, request = _admission(exchange), exchange.request
        admission.cost = cost = _cost(request.prompt_tokens, request.output_tokens)
        tenant = admission.tenant
        if tenant is None:
            self._queue.serve("", STANDARD, cost)
        else:
            self._queue.serve(tenant.name, tenant.priority, cost, tenant.share)
            self._pool = exchange.pool_name
            self._tell(tenant, cost)

    def _with_room(self, exchange: "Exchange", now_s: float) -> Pick | None:
        router, request, tried = self._router, exchange.request, exchange.tried
        if not tried and not self._leaves_headroom(exchange):
            return None
        requests = self._fleet.requests
        if _any_has(requests, self._least_limit):
            full = frozenset(slot for slot, running in enumerate(requests) if running >= self.limit(slot))
            known = router.has_other(exchange.pool_name, request, tried, now_s)
            if full and known:
                tried |= full
                if not router.has_other(exchange.pool_name, request, tried, now_s):
                    return None
        return router.route(exchange.pool_name, request, tried, now_s)

    def _item(self, exchange: "Exchange", now_s: float) -> Waiting:
        admission, request = _admission(exchange), exchange.request
        tenant = admission.tenant
        cached = 0
        if self._index is not None and request.prefix_hashes:
            holders = self._index.holders(request.prefix_hashes)
            blocks = max(self._index.held_by(holders, request.prefix_hashes), default=0)
            cached = blocks * request.prefix_block_tokens
        admission.item = item = Waiting(
            tenant=tenant.name if tenant is not None else "",
            cost=_cost(request.prompt_tokens, request.output_tokens),
            deadline_s=self._latest_s(exchange, now_s),
            cached_tokens=min(cached, request.prompt_tokens),
            weight=tenant.share if tenant is not None else 1.0,
            priority=tenant.priority if tenant is not None else STANDARD,
            payload=exchange,
        )
        return item

    def _latest_s(self, exchange: "Exchange", now_s: float) -> float:
        """When a request is of no use any more: our limit, or the client's own."""
        ours_s, asked_s = now_s + self._options.max_wait_s, exchange.plan.head.timeout_s
        return min(ours_s, exchange.started_s + asked_s) if asked_s else ours_s

    def _wait(self, exchange: "Exchange", now_s: float) -> None:
        if not self._router.has_other(exchange.pool_name, exchange.request, exchange.tried, now_s):
            # Nobody could ever serve it: the router says why, and waiting would not help.
            self._router.route(exchange.pool_name, exchange.request, exchange.tried, now_s)
        item = self._item(exchange, now_s)
        no_room = self._queue.push(item, now_s)
        if no_room is not None:
            _admission(exchange).item = None
            refusals.tell(exchange, refusals.no_place(no_room.full, no_room.retry_after_s))
            return
        _admission(exchange).waits = True
        self._pool = exchange.pool_name
        self._begin_to_hear(_admission(exchange).tenant)
        self._mixed = self._queue.waiting > 1 and (self._mixed or _model(item) != self._last_model)
        self._last_model = _model(item)
        if not self._looking:
            self._looking = True
            self._schedule(LOOK_S, self._look)

    # --- on ------------------------------------------------------------------------------------

    def call(self, now_s: float) -> None:
        """Let in those whose turn it is, while there is room."""
        if self._calling or not self._queue.waiting or not self._has_room():
            return
        self._calling = True
        passed_over: list[Waiting] = []
        try:
            while len(passed_over) < MAX_PASSED_OVER and (item := self._queue.pop(now_s)) is not None:
                if not self._let_in(item, now_s, {(each.tenant, _model(each)) for each in passed_over}):
                    passed_over.append(item)
                    if not self._mixed and self._queue.tenants_waiting <= 1:
                        break
        finally:
            for item in reversed(passed_over):
                self._queue.put_back(item)
            self._called = None
            self._calling = False

    def _let_in(self, item: Waiting, now_s: float, passed_over: set[tuple[str, str]]) -> bool:
        exchange = _exchange(item)
        if (item.tenant, _model(item)) in passed_over:
            return False
        self._called, admission = exchange, _admission(exchange)
        admission.waits = False
        exchange.forward(now_s)
        # Neither sent nor ended: it has found no room.
        admission.waits = exchange.pick is None and exchange.admission is not None
        return not admission.waits

    def _has_room(self) -> bool:
        """Whether any replica at all has room; a quick look before a turn is called."""
        requests = self._fleet.requests
        if not self._gradients:
            return min(requests, default=0) < self._least_limit
        return any(running < self.limit(slot) for slot, running in enumerate(requests))

    def _look(self) -> None:
        now_s = monotonic()
        for item in self._queue.expired(now_s):
            exchange = _exchange(item)
            wait_s = self._queue.expected_wait_s(item.tenant, item.priority)
            _admission(exchange).waits = False
            refusals.tell(exchange, refusals.no_place(False, wait_s))
        self._hear()
        self.call(now_s)
        self._looking = self._queue.waiting > 0
        if self._looking:
            self._schedule(LOOK_S, self._look)

    # --- out -----------------------------------------------------------------------------------

    def left(self, admission: "Admission", used: tuple[int, int]) -> None:
        """A request ended. used: prompt and output tokens that it took in truth."""
        if admission.placed:
            self._count(admission, -1)
        item = admission.item
        if item is None:
            if admission.cost:
                self._settle(admission, _cost(*used) - admission.cost)
            return
        admission.item = None
        if admission.waits:
            self._queue.cancel(item)
        else:
            self._queue.settle(item, _cost(*used))
            self._tell(admission.tenant, _cost(*used) - item.cost)
        item.payload = None

    def step_out(self, admission: "Admission") -> None:
        """A request is tried in another pool now: it holds no place here any more."""
        if admission.placed:
            self._count(admission, -1)

    def _count(self, admission: "Admission", change: int) -> None:
        """Places that a tenant holds in this worker."""
        admission.placed = change > 0
        name = admission.tenant.name if admission.tenant is not None else ""
        self._running[name] = self._running.get(name, 0) + change

    def _settle(self, admission: "Admission", owed: float) -> None:
        admission.cost = 0.0
        tenant = admission.tenant
        if tenant is None:
            self._queue.charge("", STANDARD, owed)
        else:
            self._queue.charge(tenant.name, tenant.priority, owed, tenant.share)
            self._tell(tenant, owed)

    # --- what other workers do -----------------------------------------------------------------

    def _tell(self, tenant: "Tenant | None", cost: float) -> None:
        """Other workers may know what a tenant took here."""
        if tenant is not None and (turns := tenant.turns(self._pool)) is not None:
            turns.count(int(cost))

    def _begin_to_hear(self, tenant: "Tenant | None") -> None:
        """What a tenant took elsewhere before it began to wait is past: it earns or owes nothing by it."""
        if tenant is None or tenant.name in self._waiting_here:
            return
        if (turns := tenant.turns(self._pool)) is not None:
            turns.heard()
            self._waiting_here[tenant.name] = tenant

    def _hear(self) -> None:
        for name, tenant in list(self._waiting_here.items()):
            turns = tenant.turns(self._pool)
            if turns is None or not self._queue.waits(name, tenant.priority):
                del self._waiting_here[name]
            elif taken := turns.heard():
                self._queue.charge(name, tenant.priority, taken, tenant.share)

    def observe(self, slot: int, token_s: float) -> None:
        """A replica gave output tokens at this pace."""
        if not self._options.adaptive:
            return
        gradient = self._gradients.get(slot)
        if gradient is None:
            most = self._options.max_in_flight or MOST_IN_FLIGHT
            gradient = self._gradients[slot] = Gradient(self._options.min_in_flight, most)
        gradient.observe(token_s, self._fleet.requests[slot] + 1)
        self._least_limit = min(each.limit for each in self._gradients.values())


def _any_has(requests: list[int], limit: int) -> bool:
    """Whether any replica has so many in flight; compiled, a tenth of what `max` costs."""
    for running in requests:  # noqa: SIM110  a loop compiles to less than any()
        if running >= limit:
            return True
    return False


def _cost(prompt_tokens: int, output_tokens: int) -> float:
    return PROMPT_WEIGHT * prompt_tokens + OUTPUT_WEIGHT * output_tokens


def _admission(exchange: "Exchange") -> "Admission":
    admission = exchange.admission
    if admission is None:
        raise RuntimeError("a request reached a door without having been admitted")
    return admission


def _exchange(item: Waiting) -> "Exchange":
    exchange: Exchange = item.payload  # type: ignore[assignment]  # whatever waits here is an exchange
    return exchange


def _model(item: Waiting) -> str:
    return _exchange(item).request.model
