"""One request's way over the pools of its model; who comes next is decided in `routing/fallback.py`.

Only requests whose model has several pools know of it. A try goes on only while the client has seen
nothing; a stream that is lost later goes on in the next pool through `kept_stream`.
"""

import asyncio
import random
import time
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from steelyard.config.schema import Configuration
from steelyard.gateway.answer_head import AnswerHead
from steelyard.gateway.kept_stream import KeptStream
from steelyard.gateway.routes import Pool
from steelyard.model.errors import BadRequest, NoEligibleReplica, SteelyardError
from steelyard.policies.failure.circuit import Circuit
from steelyard.routing.fallback import Attempts, Chain, Failure, FallbackLimits, Stop
from steelyard.wire.refusals import is_too_long, retry_after_s

if TYPE_CHECKING:
    from steelyard.gateway.exchange import Exchange

_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ModelPools:
    """The pools of every model that has several, and their circuits, in one worker."""

    def __init__(self, configuration: Configuration, pools: dict[str, Pool], rng: random.Random) -> None:
        options = configuration.fallback
        self.pools = pools
        self.rng = rng
        self.chains = {
            model.name: Chain(pools=model.pools, larger=model.larger) for model in configuration.models
        }
        self.limits = FallbackLimits(
            max_attempts=options.max_attempts,
            total_timeout_s=options.total_timeout_s,
            backoff_s=options.backoff_s,
            max_backoff_s=options.max_backoff_s,
            short_wait_s=options.short_wait_s,
        )
        self.circuits = {
            name: Circuit(
                failures=options.circuit_failures,
                open_s=options.circuit_open_s,
                max_open_s=options.circuit_max_open_s,
                probes=options.circuit_probes,
            )
            for name in pools
        }
        self.renames = {pool.name: pool.model for pool in configuration.pools if pool.model}


class PoolTries:
    """The tries of one request. Begins in the first pool that may be tried."""

    __slots__ = ("_attempts", "_body", "_exchange", "_pools", "_timer")

    def __init__(self, exchange: "Exchange", pools: ModelPools, chain: Chain) -> None:
        self._exchange = exchange
        self._pools = pools
        self._body = exchange.body
        self._timer: asyncio.TimerHandle | None = None
        now_s = monotonic()
        self._attempts = Attempts(chain, pools.circuits, pools.limits, pools.rng, now_s)
        self._enter(self._attempts.first(now_s).pool)

    def lines(self) -> bytes:
        """What an answer says of the tries: field lines, each ending in CRLF."""
        pool = self._exchange.pool_name.encode("latin-1", "replace")
        return b"X-Steelyard-Attempts: %d\r\nX-Steelyard-Pool: %b\r\n" % (self._attempts.attempts, pool)

    def _enter(self, name: str) -> None:
        """Make a pool the exchange's own; its model may have another name there."""
        exchange = self._exchange
        pool, admission = self._pools.pools[name], exchange.admission
        if admission is not None and admission.door is not None and pool.door is not admission.door:
            admission.door.step_out(admission)
        exchange.pool = pool
        exchange.tried = frozenset()
        exchange.free_tries = 1
        exchange.body = self.renamed(self._body)
        exchange.request = exchange.plan.understand(exchange.body, exchange.request.tenant)
        if exchange.kept is not None or (exchange.plan.keeps_streams and exchange.request.streams):
            exchange.kept = KeptStream(exchange, pool)

    def enter_mid_stream(self) -> Pool | None:
        """The pool that may go on with a stream which this one lost; None when there is none."""
        exchange = self._exchange
        step = self._attempts.after(Failure.BROKEN, monotonic())
        if isinstance(step, Stop):
            return None
        pool = exchange.pool = self._pools.pools[step.pool]
        exchange.tried = frozenset()
        exchange.request = exchange.plan.understand(self.renamed(self._body), exchange.request.tenant)
        return pool

    def renamed(self, body: bytes) -> bytes:
        """A body with the name that the model has in the present pool."""
        name = self._pools.renames.get(self._exchange.pool_name, "")
        return with_model(body, name) if name else body

    def succeeded(self) -> None:
        """The pool answered."""
        self._attempts.succeeded()

    def was_cut(self) -> None:
        """The pool began an answer and did not end it; there is no other try."""
        self._attempts.after(Failure.BROKEN, monotonic())

    def gave_up(self, problem: SteelyardError) -> bool:
        """No replica of the pool could answer; whether another pool is tried."""
        if isinstance(problem, BadRequest) and not isinstance(problem, NoEligibleReplica):
            return False
        relay, late = self._exchange.relay, problem.http_status == 504
        if late:
            return self._after(Failure.NO_HEAD if relay is None else Failure.NO_FIRST_TOKEN)
        return self._after(Failure.UNREACHABLE)

    def refused(self, head: AnswerHead, body: bytes | None) -> bool:
        """The pool answered with an error status; whether another pool is tried.

        body: None while it is not here; only a whole one can say that the prompt is too long.
        """
        status = head.status
        if status == 429 or status == 503:
            return self._after(Failure.BUSY, retry_after_s(head.retry_after, time.time()))
        if status >= 500:
            return self._after(Failure.SERVER_ERROR)
        if body is not None and is_too_long(status, body):
            return self._after(Failure.TOO_LONG)
        return False

    def _after(self, failure: Failure, asked_s: float | None = None) -> bool:
        exchange = self._exchange
        self.cancel()
        step = self._attempts.after(failure, monotonic(), asked_s)
        if isinstance(step, Stop):
            return False
        exchange.last_error = f"pool {exchange.pool_name} {failure.value}"
        exchange.abandon()
        exchange.release()
        exchange.relay = None
        exchange.context.meters.retry()
        self._enter(step.pool)
        if step.wait_s > 0.001:
            exchange.last_s = monotonic() + step.wait_s
            self._timer = exchange.context.loop.call_later(step.wait_s, self._go)
        else:
            self._go()
        return True

    def _go(self) -> None:
        self._timer = None
        self._exchange.forward(monotonic())

    def cancel(self) -> None:
        """A try that waits is not made: the client left, or the request ended otherwise."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def tries_of(exchange: "Exchange", pools: ModelPools) -> PoolTries | None:
    """The tries of a request whose model has several pools; None for another one."""
    chain = pools.chains.get(exchange.request.model)
    return PoolTries(exchange, pools, chain) if chain is not None else None


def with_model(body: bytes, name: str) -> bytes:
    """A request body with another model's name; as it was when it is no JSON object."""
    try:
        fields = _fields_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return body
    fields["model"] = msgspec.Raw(msgspec.json.encode(name))
    return msgspec.json.encode(fields)
