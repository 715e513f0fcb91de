"""One request's life: picked, charged, sent, relayed, released, recorded; the only owner of its time.

A straight way with one way back: while nothing has been written to the client, a lost answer returns to
the pick with the failed replica excluded. The first bytes of an answer wait for its first payload, so
that head and payload leave in one write and an engine that dies between them is not noticed.
What was charged is released exactly once, in `release`. For engines that fail see `setbacks`.
"""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from steelyard.gateway import answers, forwarding, receipts, setbacks
from steelyard.gateway.access_log import record_of
from steelyard.gateway.answer_head import AnswerHead
from steelyard.gateway.kept_stream import KeptStream
from steelyard.gateway.pool_tries import PoolTries, tries_of
from steelyard.gateway.relay import Relay, whole_tokens
from steelyard.gateway.request_plan import RequestPlan
from steelyard.gateway.routes import Pool
from steelyard.gateway.upstream import AnswerReceiver, UpstreamConnection
from steelyard.model.errors import BadRequest, NoEligibleReplica, UpstreamError
from steelyard.model.pick import Pick
from steelyard.model.request import Request

if TYPE_CHECKING:
    from steelyard.gateway.admission import Admission
    from steelyard.gateway.client_connection import ClientConnection
    from steelyard.gateway.context import WorkerContext
    from steelyard.gateway.tenants import Tenant

NOTHING_TRIED: frozenset[int] = frozenset()


class Exchange(AnswerReceiver):
    """One request and its answer.

    attempts: engines that were asked.
    last_error: what went wrong last, for the log.
    admission: what it holds of its tenant's limits and of the pool's places; None where there are none.
    whole: the body of an answer that came at once, b"" of another.
    told: field lines for the client beside the request id, each ending in CRLF.
    """

    __slots__ = (
        "_charged_output",
        "_charged_prompt",
        "admission",
        "attempts",
        "body",
        "client",
        "connecting",
        "connection",
        "context",
        "free_tries",
        "kept",
        "last_error",
        "last_s",
        "pick",
        "plan",
        "pool",
        "relay",
        "request",
        "request_id",
        "sent_s",
        "started_s",
        "told",
        "tried",
        "tries",
        "whole",
    )

    request: Request  # set in `start`, before anything reads it

    def __init__(
        self, context: "WorkerContext", client: "ClientConnection", plan: RequestPlan, body: bytes
    ) -> None:
        self.context = context
        self.client = client
        self.plan = plan
        self.pool = plan.pool
        self.body = body
        self.started_s = monotonic()
        self.pick: Pick | None = None
        self.tried = NOTHING_TRIED
        self.connection: UpstreamConnection | None = None
        self.connecting: asyncio.Task[None] | None = None
        self.relay: Relay | None = None
        self.kept: KeptStream | None = None
        self.tries: PoolTries | None = None
        self._charged_prompt = self._charged_output = 0
        self.attempts = 0
        self.free_tries = 1
        self.last_error = ""
        self.admission: Admission | None = None
        self.told = self.whole = b""
        self.request_id = plan.request_id or context.next_request_id()

    # --- the way forward -----------------------------------------------------------------------

    def start(self) -> None:
        """Understand the request and send it, or answer it at once."""
        gate = self.context.gate
        if gate is not None:
            gate.start(self)
            return
        plan = self.plan
        pool = plan.pool
        if pool is None or plan.lists_models:
            self.request = Request()
            self.answer_without_engine()
            return
        try:
            self.request = plan.understand(self.body)
        except BadRequest as error:
            self.request = Request()
            setbacks.give_up(self, error)
            return
        self.send_on(pool)

    def send_on(self, pool: Pool) -> None:
        """The request is understood, and may go on."""
        if self.plan.keeps_streams and self.request.streams:
            self.kept = KeptStream(self, pool)
        if self.context.model_pools is not None:
            self.tries = tries_of(self, self.context.model_pools)
        pool.budget.request_started(self.started_s)
        self.forward(self.started_s)

    def answer_without_engine(self, tenant: "Tenant | None" = None) -> None:
        """No route leads anywhere, or the list of models is asked for."""
        pool, extra = self.plan.pool, self.id_line
        if pool is None:
            self.answer_locally(answers.no_route(self.plan, extra), 404)
        else:
            models = self.context.models(pool.name)
            body = answers.model_list(models if tenant is None else tenant.usable(models))
            self.answer_locally(answers.answer(200, body, extra=extra, head_only=self.plan.is_head), 200)

    def forward(self, now_s: float) -> None:
        """Pick a replica and ask it."""
        context, pool = self.context, self.plan.pool
        context.ledger.refresh(now_s)
        try:
            if pool is None or pool.door is None or pool is not self.pool:
                pick = context.router.route(self.pool_name, self.request, self.tried, now_s)
            elif (called := pool.door.route(self, now_s)) is not None:
                pick = called
            else:
                self.last_s = now_s
                return  # it waits, or has been sent away
        except NoEligibleReplica as error:
            setbacks.give_up(self, error if not self.tried else UpstreamError(self.last_error))
            return
        self.ask(pick, now_s)

    def ask(self, pick: Pick, now_s: float) -> None:
        """Charge, and send on an idle connection or on a new one."""
        context, request, ledger = self.context, self.request, self.context.ledger
        self.sent_s = self.last_s = now_s
        self.pick = pick
        self.attempts += 1
        context.receipts.note(
            self.request_id, self.pool_name, pick, request.prompt_tokens, self.attempts, now_s
        )
        slot = pick.slot
        # What the replica has in its cache is no work for it.
        self._charged_prompt = max(1, request.prompt_tokens - pick.matched_tokens)
        self._charged_output = request.output_tokens
        ledger.charge(slot, self._charged_prompt, request.output_tokens)
        upstream = context.upstreams[slot]
        connection = upstream.take_idle(now_s)
        if connection is not None:
            self.upstream_connected(connection)
        else:
            self.connecting = upstream.connect(self)

    def upstream_connected(self, connection: UpstreamConnection) -> None:
        """Send the request on an open connection."""
        self.connecting = None
        pick, plan, body = self.pick, self.plan, self.body
        if pick is None:
            connection.close()  # the client left while the connection was being opened
            return
        self.connection = connection
        place = self.context.upstreams[pick.slot].place
        lines = self.client.forwarding_lines(plan)
        if self.context.tracing is not None:
            lines += self.context.tracing.lines(self)
        head = plan.head_bytes(place, lines, self.request_id, len(body))
        if self.client.believed:
            head = forwarding.with_host(head, plan.head.own)
        connection.send(self.kept or self, head, body, head_request=plan.is_head)
        if self.client.writing_paused:
            connection.transport.pause_reading()  # it goes on with an answer that the client is slow to read

    # --- what the engine does ------------------------------------------------------------------

    def upstream_refused(self, error: str) -> None:
        """No connection could be opened."""
        self.connecting = None
        setbacks.attempt_failed(self, f"cannot connect: {error}")

    def answer_whole(self, head: AnswerHead, body: bytes) -> None:
        """The whole answer is here at once: one write, and done. The way of most short requests."""
        self.connection = None
        self.last_s = now_s = monotonic()
        plan, client, context, status = self.plan, self.client, self.context, head.status
        self.whole = body
        if setbacks.turned_away(self, status):
            setbacks.try_elsewhere(self)
            return
        if status >= 400 and self.tries is not None and self.tries.refused(head, body):
            return
        keep_alive = plan.keep_alive and not context.draining
        answer = answers.relayed(head.beginning(), body, keep_alive, plan.minor_version, self._answer_lines)
        client.transport.write(answer)
        tokens, cached = whole_tokens(body)
        self._record_success(status, tokens, cached, now_s)
        self.end(status, now_s, tokens)
        client.finished(now_s, keep_alive=keep_alive)

    @property
    def _answer_lines(self) -> bytes:
        """The fields that the gateway adds to an engine's answer, each ending in CRLF."""
        pick, context, lines = self.pick, self.context, self.id_line
        if self.tries is not None:
            lines += self.tries.lines()
        if pick is None or not context.shows_picks:
            return lines
        return b"%b%b\r\n" % (lines, receipts.header(pick, context.fleet))

    def answer_head(self, head: AnswerHead, length: int, has_body: bool) -> None:
        """The engine's head is here; it waits for the first payload."""
        self.last_s = monotonic()
        if setbacks.turned_away(self, head.status):
            self.abandon()
            setbacks.try_elsewhere(self)
            return
        if head.status >= 400 and self.tries is not None and self.tries.refused(head, None):
            return
        plan, client = self.plan, self.client
        self.relay = Relay(head, length, plan.minor_version, self._answer_lines, client.transport)
        self.relay.has_body = has_body
        self.relay.close_after = not plan.keep_alive or self.context.draining

    def answer_payload(self, payload: bytes, framed: bytes | None) -> None:
        """Pass payload on, and note the first. framed: the payload as one chunk, if it came so."""
        relay = self.relay
        if relay is None:
            return
        self.last_s = monotonic()
        if self._charged_prompt:
            self._first_payload(self.last_s)
        if relay.begun:
            relay.go_on(payload, framed)
        else:
            relay.begin(payload, self.last_s)

    def _first_payload(self, now_s: float) -> None:
        pick, request, pool = self.pick, self.request, self.pool
        if pick is None or pool is None:
            return
        self.context.ledger.first_token(pick.slot, self._charged_prompt)
        self._charged_prompt = 0
        if request.streams and pool.learner is not None:
            pool.learner.observe_first_token(pick, request, now_s - self.sent_s, self.context.fleet, now_s)

    def answer_done(self) -> None:
        """The answer ended well."""
        self.connection = None
        relay = self.relay
        if relay is None:
            return
        now_s = monotonic()
        relay.finish()
        status = relay.head.status
        tokens, cached = relay.tokens()
        self._record_success(status, tokens, cached, now_s)
        self.end(status, now_s, tokens)
        if self.client.transport.is_closing():
            self.client.exchange = None
        else:
            self.client.finished(now_s, keep_alive=not relay.close_after)

    def _record_success(self, status: int, tokens: int, cached: int, now_s: float) -> None:
        """Only what the engine is to blame for counts against it: 4xx never does, 5xx does."""
        pick, pool, context = self.pick, self.pool, self.context
        if pick is None or pool is None:
            return
        if status >= 500:
            context.router.report_failure(pick.slot, now_s)
            return
        if context.router.troubled:
            context.router.report_success(pick.slot, now_s)
        if self.tries is not None:
            self.tries.succeeded()
        whole = self.kept is None or not self.kept.continued  # a part's time says nothing of the whole
        if pool.learner is not None and status < 400 and whole:
            took_s = now_s - self.sent_s
            pool.learner.observe_finish(pick, self.request, took_s, tokens, cached, context.fleet, now_s)

    def upstream_lost(self, error: str) -> None:
        """The connection broke, or what came on it was not HTTP."""
        connection, self.connection = self.connection, None
        relay = self.relay
        if relay is not None and relay.begun:
            setbacks.answer_was_cut(self, error)
        elif relay is None and connection is not None and connection.answered and not connection.answer_begun:
            # A kept connection that dies before any byte of an answer was closing already: not a fault.
            if self.pick is not None:
                self.connecting = self.context.upstreams[self.pick.slot].connect(self)
        else:
            setbacks.attempt_failed(self, error)

    # --- what the client does ------------------------------------------------------------------

    def client_writing(self, *, paused: bool) -> None:
        """Backpressure: a client that reads slowly slows its engine, not our memory."""
        if self.connection is not None:
            transport = self.connection.transport
            (transport.pause_reading if paused else transport.resume_reading)()
        if not paused:
            self.last_s = monotonic()  # the silence was the client's

    def client_left(self) -> None:
        """Nobody waits for the answer: the engine is told by a closed connection."""
        self.abandon()
        if self.kept is not None:
            self.kept.client_left()
        if self.tries is not None:
            self.tries.cancel()
        self.end(499, monotonic())

    @property
    def nothing_written(self) -> bool:
        """Whether the client has not seen a byte of the answer."""
        return self.relay is None or not self.relay.begun

    # --- ends ----------------------------------------------------------------------------------

    def answer_locally(self, data: bytes, status: int) -> None:
        """Write an answer of the gateway's own, and end."""
        self.client.transport.write(data)
        now_s = monotonic()
        self.end(status, now_s)
        self.client.finished(now_s, keep_alive=self.plan.keep_alive and not self.context.draining)

    def abandon(self) -> None:
        """Stop whatever is being asked of the engine."""
        if self.connecting is not None:
            self.connecting.cancel()
            self.connecting = None
        if self.connection is not None:
            connection, self.connection = self.connection, None
            connection.abandon()

    def release(self) -> Pick | None:
        """Give back what was charged, once; the pick it was charged for."""
        pick = self.pick
        if pick is not None:
            self.pick = None
            self.context.ledger.release(pick.slot, self._charged_prompt, self._charged_output)
            self._charged_prompt = self._charged_output = 0
        return pick

    def end(self, status: int, now_s: float, output_tokens: int | None = None) -> None:
        """Release and record; every way out comes through here once."""
        context, pick, pool, relay = self.context, self.release(), self.pool, self.relay
        first_s = relay.first_s if relay is not None else 0.0
        if self.tries is not None:
            self.tries.cancel()
        if pool is None:
            context.meters.client_error(404)
        else:
            ttft_s = first_s - self.started_s if first_s else 0.0
            slot = pick.slot if pick is not None else -1
            context.meters.request_finished(pool.index, slot, status, ttft_s, now_s - self.started_s)
            if output_tokens:
                context.meters.answered(pool.index, self.request, output_tokens, first_s, now_s)
        if context.access_log is None and self.admission is None:
            return
        if output_tokens is None:
            output_tokens = relay.tokens()[0] if relay is not None else 0
        if context.access_log is not None:
            context.access_log.write(
                record_of(self, pick, context.fleet, status, first_s, output_tokens, now_s)
            )
        if self.admission is not None:
            self.admission.end(self, pick, status, output_tokens, now_s)

    @property
    def pool_name(self) -> str:
        """The pool that serves it, "" for none."""
        return self.pool.name if self.pool is not None else ""

    @property
    def id_line(self) -> bytes:
        """The fields that tell the client its request id, and what else there is to tell."""
        return b"X-Request-Id: %b\r\n%b" % (self.request_id, self.told)
