"""What one worker's connections and exchanges share."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from steelyard.cluster.ledger import Ledger
from steelyard.config.schema import Configuration
from steelyard.gateway.access_log import AccessLog
from steelyard.gateway.admission import Gatekeeper
from steelyard.gateway.forwarding import TrustedProxies
from steelyard.gateway.meters import Meters
from steelyard.gateway.outlet import Outbox
from steelyard.gateway.pool_tries import ModelPools
from steelyard.gateway.receipts import Receipts
from steelyard.gateway.request_plan import RequestPlan
from steelyard.gateway.tracing import Tracing
from steelyard.gateway.upstream import UpstreamPool
from steelyard.model.fleet import Fleet
from steelyard.routing.router import Router
from steelyard.wire.head_memo import HeadMemo

_LOW_BYTES: Final[list[bytes]] = [b"%02x" % byte for byte in range(256)]

if TYPE_CHECKING:
    from steelyard.gateway.client_connection import ClientConnection


@dataclass
class WorkerContext:
    """One worker. Built once at its start; only `draining` and the set change."""

    configuration: Configuration
    loop: asyncio.AbstractEventLoop
    fleet: Fleet
    ledger: Ledger
    router: Router
    plans: HeadMemo[RequestPlan]
    meters: Meters
    upstreams: list[UpstreamPool]
    outbox: Outbox
    access_log: AccessLog | None
    id_prefix: bytes
    gate: Gatekeeper | None = None
    shows_picks: bool = False  # `pick_header` of the configuration
    receipts: Receipts = field(default_factory=Receipts)
    model_pools: ModelPools | None = None  # None when no model has several
    tracing: Tracing | None = None  # None when no traces are wanted
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    draining: bool = False
    connections: "set[ClientConnection]" = field(default_factory=set)
    _next_id: int = 0
    _id_high: int = -1
    _id_start: bytes = b""  # an id up to its last two digits

    def models(self, pool: str) -> list[str]:
        """All names that a model may be asked for by, in a pool or over several."""
        known = self.router.models(pool)
        return known if self.model_pools is None else [*known, *self.model_pools.chains]

    def next_request_id(self) -> bytes:
        """An id that no other request of this gateway has."""
        self._next_id += 1
        high, low = self._next_id >> 8, self._next_id & 0xFF
        if high != self._id_high:
            self._id_high = high
            self._id_start = b"%b%x" % (self.id_prefix, high)
        return self._id_start + _LOW_BYTES[low]
