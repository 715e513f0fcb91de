"""Who may start: the key, the model, the tenant's limits; and what is settled when it ends.

Only where keys or limits on replicas are configured; a gateway without either does not come here.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from steelyard.gateway import refusals, setbacks
from steelyard.gateway.door import Door
from steelyard.gateway.keys import KeyRing
from steelyard.gateway.tenants import Tenant
from steelyard.model.errors import BadRequest
from steelyard.model.pick import Pick
from steelyard.model.request import Request
from steelyard.policies.admission.limiter import Limiter
from steelyard.policies.admission.waiting import Waiting
from steelyard.wire.repeated_keys import is_repeated

PUBLISH_S: Final = 0.001
NOTHING_ASKED = Request()

if TYPE_CHECKING:
    from steelyard.gateway.exchange import Exchange
    from steelyard.gateway.request_plan import RequestPlan


class Admission:
    """What one admitted request holds, until it ends.

    reserved: tokens taken from its tenant's limits in advance.
    item: its turn at the door, where it had to wait for one; waits: it has not come yet.
    placed: it holds one of the pool's places.
    cost: what its tenant was charged at the door when it did not wait.
    """

    __slots__ = ("cost", "door", "item", "placed", "reserved", "tenant", "waits")

    def __init__(self, tenant: Tenant | None, reserved: int, door: Door | None) -> None:
        self.tenant = tenant
        self.reserved = reserved
        self.door = door
        self.item: Waiting | None = None
        self.placed = False
        self.cost = 0.0
        self.waits = False

    def end(
        self, exchange: "Exchange", pick: Pick | None, status: int, output_tokens: int, now_s: float
    ) -> None:
        """Settle what the request really took; let the next one in. Called once."""
        exchange.admission = None
        request = exchange.request
        # An error, or a client that left before anything came, took nothing that is worth counting.
        served = status < 400 or output_tokens > 0
        prompt_tokens = request.prompt_tokens if served else 0
        if self.tenant is not None:
            used = prompt_tokens + output_tokens
            self.tenant.settle(request.model, self.reserved, used, now_s - exchange.started_s)
            if exchange.context.gate is not None:
                exchange.context.gate.publish_soon(exchange.context.loop, self.tenant)
        if self.door is not None:
            self.door.left(self, (prompt_tokens, output_tokens))
            relay = exchange.relay
            if pick is not None and relay is not None and relay.first_s and output_tokens > 1:
                self.door.observe(pick.slot, (now_s - relay.first_s) / (output_tokens - 1))
            self.door.call(now_s)


class Gatekeeper:
    """Admits requests in one worker. keys: None when no key is asked for."""

    def __init__(self, keys: KeyRing[Tenant] | None) -> None:
        self.keys = keys
        self._found: dict[bytes, Tenant] = keys.found if keys is not None else {}
        self._publishes = False

    def knows(self, plan: "RequestPlan") -> bool:
        """Whether a head comes from somebody whom we know: asked before its body is read."""
        return self.keys is None or self.keys.owner(plan.authorization) is not None

    def start(self, exchange: "Exchange") -> None:
        """Admit a request and send it on, or answer it."""
        plan, tenant = exchange.plan, None
        exchange.request = NOTHING_ASKED
        if self.keys is not None:
            tenant = self._found.get(plan.authorization) or self.keys.owner(plan.authorization)
            if tenant is None:
                refusals.tell(exchange, refusals.WRONG_KEY)
                return
        pool = plan.pool
        if pool is None or plan.lists_models:
            exchange.answer_without_engine(tenant)
            return
        try:
            exchange.request = plan.understand(exchange.body, tenant.cache_key if tenant is not None else "")
        except BadRequest as error:
            setbacks.give_up(exchange, error)
            return
        reserved = 0
        if tenant is not None:
            reserved = exchange.request.prompt_tokens + exchange.request.output_tokens
            if not self._is_within_limits(exchange, tenant, reserved):
                return
            if not self._publishes:
                self.publish_soon(exchange.context.loop, tenant)
        exchange.admission = Admission(tenant, reserved, pool.door)
        exchange.send_on(pool)

    def publish_soon(self, loop: asyncio.AbstractEventLoop, tenant: Tenant) -> None:
        """Have what tenants took written where other workers see it: once for all of the next moment."""
        if not self._publishes and tenant.unpublished:
            self._publishes = True
            loop.call_later(PUBLISH_S, self._publish, tenant.unpublished)

    def _publish(self, limiters: list[Limiter]) -> None:
        self._publishes = False
        for each in limiters:
            each.publish()
        limiters.clear()

    @staticmethod
    def _may_use(exchange: "Exchange", tenant: Tenant) -> bool:
        """Whether the model is certain, and the tenant's own. An engine told none takes a default."""
        if not tenant.may_use(exchange.request.model):
            return False
        return not is_repeated(exchange.body, "model")

    def _is_within_limits(self, exchange: "Exchange", tenant: Tenant, reserved: int) -> bool:
        model, now_s = exchange.request.model, exchange.started_s
        if tenant.restricted and exchange.body and not self._may_use(exchange, tenant):
            refusals.tell(exchange, refusals.wrong_model(model) if model else refusals.NO_MODEL)
            return False
        refusal = tenant.admit(model, reserved, now_s)
        if refusal is not None:
            refusals.tell(exchange, refusals.limit_met(refusal, tenant.state(model, now_s)))
            return False
        if tenant.limited:
            exchange.told = tenant.lines(model, now_s)
        return True
