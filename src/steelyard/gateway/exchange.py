"""One request's life: picked, charged, sent, relayed, released, recorded; the only owner of its time.

A straight way with one way back: while nothing has been written to the client, a lost answer returns to
the pick with the failed replica excluded. The first bytes of an answer wait for its first payload, so
that head and payload leave in one write and an engine that dies between them is not noticed.
What was charged is released exactly once, in `_release`.

Retries: an engine that refused the connection or died gives the request one free try
elsewhere, as the engine is ejected at once and its load has to go somewhere; further tries, and those after
a 429 or 503, take from the pool's retry budget, which caps a storm at a share of the live load.
"""

import asyncio
from typing import TYPE_CHECKING

from steelyard.gateway import answers
from steelyard.gateway.outbound import request_bytes, understand
from steelyard.gateway.relay import Relay
from steelyard.gateway.routes import Pool
from steelyard.gateway.upstream import UpstreamConnection
from steelyard.model.errors import BadRequest, NoEligibleReplica, UpstreamError
from steelyard.model.request import Request
from steelyard.model.routing_policy import Pick
from steelyard.wire.http1_head import RequestHead, ResponseHead

if TYPE_CHECKING:
    from steelyard.gateway.client_connection import ClientConnection
    from steelyard.gateway.context import WorkerContext

MAX_REQUEST_ID_BYTES = 128


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_attempts",
        "_body",
        "_charged_output",
        "_charged_prompt",
        "_client",
        "_connecting",
        "_connection",
        "_context",
        "_free_tries",
        "_head",
        "_last_error",
        "_last_s",
        "_pick",
        "_pool",
        "_relay",
        "_request",
        "_sent_s",
        "_started_s",
        "_tried",
        "request_id",
    )

    def __init__(
        self, context: "WorkerContext", client: "ClientConnection", head: RequestHead, body: bytes
    ) -> None:
        self._context = context
        self._client = client
        self._head = head
        self._body = body
        self._started_s = self._sent_s = self._last_s = context.loop.time()
        self._pool: Pool | None = None
        self._request = Request()
        self._pick: Pick | None = None
        self._tried: frozenset[int] = frozenset()
        self._connection: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._relay: Relay | None = None
        self._charged_prompt = self._charged_output = 0
        self._attempts = 0
        self._free_tries = 1
        self._last_error = ""
        given = head.own.get(b"x-request-id", b"")
        usable = given and len(given) <= MAX_REQUEST_ID_BYTES and given.isascii() and b" " not in given
        self.request_id = given if usable else context.next_request_id()

    # --- the way forward -----------------------------------------------------------------------

    def start(self) -> None:
        """Find the pool, understand the request, and send it."""
        context, head = self._context, self._head
        pool = context.routes.match(head.target, head.own.get(b"host", b""))
        if pool is None:
            path = head.path.decode("ascii", "replace")[:200]
            self._answer_locally(answers.plain_error(404, f"no route for {path}", extra=self._id_line()), 404)
            return
        self._pool = pool
        if pool.lists_models(head):
            body = answers.model_list(context.router.models(pool.name))
            self._answer_locally(answers.answer(200, body, extra=self._id_line()), 200)
            return
        try:
            self._request = understand(pool, head, self._body)
        except BadRequest as error:
            self._answer_locally(
                answers.error(error, extra=self._id_line(), head_only=self._is_head), error.http_status
            )
            return
        pool.budget.request_started(self._started_s)
        context.exchanges.add(self)
        self._forward()

    def _forward(self) -> None:
        """Pick, charge, and send on an idle connection or on a new one."""
        context, request, pool = self._context, self._request, self._pool
        if pool is None:
            return
        now_s = self._sent_s = self._last_s = context.loop.time()
        context.ledger.refresh(now_s)
        try:
            pick = context.router.route(pool.name, request, self._tried, now_s)
        except NoEligibleReplica as error:
            self._give_up(error if not self._tried else UpstreamError(self._last_error))
            return
        self._pick = pick
        self._attempts += 1
        self._charged_prompt, self._charged_output = request.prompt_tokens, request.output_tokens
        context.ledger.charge(pick.slot, request.prompt_tokens, request.output_tokens)
        upstream = context.upstreams[pick.slot]
        connection = upstream.take_idle(now_s)
        if connection is not None:
            self.upstream_connected(connection)
        else:
            self._connecting = upstream.connect(self)

    def upstream_connected(self, connection: UpstreamConnection) -> None:
        """Send the request on an open connection."""
        self._connecting = None
        pick = self._pick
        if pick is None:
            connection.close()  # the client left while the connection was being opened
            return
        self._connection = connection
        upstream = self._context.upstreams[pick.slot]
        data = request_bytes(
            self._head,
            self._body,
            path_prefix=upstream.path_prefix,
            authority=upstream.authority,
            request_id=self.request_id,
            peer=self._client.peer,
        )
        connection.send(self, data, head_request=self._is_head)

    # --- what the engine does ------------------------------------------------------------------

    def upstream_refused(self, error: str) -> None:
        """No connection could be opened."""
        self._connecting = None
        self._failed(f"cannot connect: {error}")

    def answer_head(self, head: ResponseHead, has_body: bool) -> None:
        """The engine's head is here; it waits for the first payload."""
        self._last_s = self._context.loop.time()
        if head.status in (429, 503) and self._another_may_answer():
            self._last_error = f"the engine answered {head.status}"
            self._abandon()
            self._retry()
            return
        self._relay = Relay(head, self._head, self.request_id, self._client.transport, has_body=has_body)
        self._relay.close_after = not self._head.keep_alive or self._context.draining

    def answer_payload(self, payload: bytes) -> None:
        """Pass payload on, and note the first."""
        relay = self._relay
        if relay is None:
            return
        self._last_s = now_s = self._context.loop.time()
        if not relay.begun:
            self._first_payload(now_s)
        relay.payload(payload, now_s)

    def _another_may_answer(self) -> bool:
        """Whether this request may go to another replica that is there to take it."""
        pick = self._pick
        if pick is None:
            return False
        tried = self._tried | {pick.slot}
        router, now_s = self._context.router, self._last_s
        return router.has_other(self._pool_name, self._request, tried, now_s) and self._may_retry(free=False)

    def _first_payload(self, now_s: float) -> None:
        pick, request = self._pick, self._request
        if pick is None:
            return
        if self._charged_prompt:
            self._context.ledger.first_token(pick.slot, self._charged_prompt)
            self._charged_prompt = 0
        if request.streams and self._pool is not None and self._pool.learner is not None:
            self._pool.learner.observe_first_token(
                pick, request, now_s - self._sent_s, self._context.fleet, now_s
            )

    def answer_done(self) -> None:
        """The answer ended well."""
        self._connection = None
        relay, pick, pool = self._relay, self._pick, self._pool
        if relay is None or pick is None or pool is None:
            return
        now_s = self._context.loop.time()
        relay.finish()
        # Only what the engine is to blame for counts against it: 4xx never does, 5xx does.
        if relay.head.status < 500:
            self._context.router.report_success(pick.slot, now_s)
        else:
            self._context.router.report_failure(pick.slot, now_s)
        if pool.learner is not None and relay.head.status < 400:
            tokens, cached = relay.tokens()
            pool.learner.observe_finish(
                pick, self._request, now_s - self._sent_s, tokens, cached, self._context.fleet, now_s
            )
        self._end(relay.head.status, now_s)
        if not self._client.transport.is_closing():
            self._client.finished(keep_alive=not relay.close_after)

    def upstream_lost(self, error: str) -> None:
        """The connection broke, or what came on it was not HTTP."""
        connection, self._connection = self._connection, None
        relay = self._relay
        if relay is not None and relay.begun:
            self._cut(error)
        elif relay is None and connection is not None and connection.answered and not connection.answer_begun:
            # A kept connection that dies before any byte of an answer was closing already: not a fault.
            if self._pick is not None:
                self._connecting = self._context.upstreams[self._pick.slot].connect(self)
        else:
            self._failed(error)

    # --- what the client does ------------------------------------------------------------------

    def client_writing(self, *, paused: bool) -> None:
        """Backpressure: a client that reads slowly slows its engine, not our memory."""
        if self._connection is not None:
            transport = self._connection.transport
            (transport.pause_reading if paused else transport.resume_reading)()

    def client_left(self) -> None:
        """Nobody waits for the answer: the engine is told by a closed connection."""
        self._abandon()
        self._end(499, self._context.loop.time())

    @property
    def nothing_written(self) -> bool:
        """Whether the client has not seen a byte of the answer."""
        return self._relay is None or not self._relay.begun

    # --- what time does ------------------------------------------------------------------------

    def check_deadlines(self, now_s: float) -> None:
        """Called by the sweeper. Each budget fires by itself: head, first payload, between, total."""
        pool, relay = self._pool, self._relay
        if pool is None or self._connecting is not None:
            return
        limits = pool.timeouts
        waited_s = now_s - self._last_s
        if now_s - self._started_s > limits.total_timeout_s:
            self._timed_out(f"the whole answer took over {limits.total_timeout_s:g} s")
        elif relay is None and waited_s > limits.head_timeout_s:
            self._timed_out(f"no response head within {limits.head_timeout_s:g} s")
        elif relay is not None and not relay.begun and waited_s > limits.first_token_timeout_s:
            self._timed_out(f"no first token within {limits.first_token_timeout_s:g} s")
        elif self._stalled(waited_s, limits.between_tokens_timeout_s):
            self._timed_out(f"nothing more within {limits.between_tokens_timeout_s:g} s")

    def _stalled(self, waited_s: float, limit_s: float) -> bool:
        """Whether an answer that has begun stopped coming, and not since its client does not read it."""
        relay = self._relay
        return relay is not None and relay.begun and waited_s > limit_s and not self._client_is_slow()

    def _client_is_slow(self) -> bool:
        """Whether the silence is ours: reading is paused since the client does not read."""
        return self._client.transport.get_write_buffer_size() > 0

    def _timed_out(self, error: str) -> None:
        self._abandon()
        if self._relay is not None and self._relay.begun:
            self._cut(error)  # which reports the failure
        else:
            if self._pick is not None:
                self._context.router.report_failure(self._pick.slot, self._context.loop.time())
            problem = UpstreamError(error)
            problem.http_status = 504
            self._give_up(problem)

    # --- ends ----------------------------------------------------------------------------------

    def _failed(self, error: str) -> None:
        """An attempt failed before the client saw anything: try elsewhere, or say so."""
        self._last_error = error
        self._connection = self._relay = None
        if self._pick is not None:
            self._context.router.report_failure(self._pick.slot, self._context.loop.time())
        if self._may_retry(free=True):
            self._retry()
        else:
            self._give_up(UpstreamError(error))

    def _may_retry(self, *, free: bool) -> bool:
        pool = self._pool
        if pool is None or self._attempts > pool.max_retries:
            return False
        if free and self._free_tries:
            self._free_tries -= 1
            return True
        return pool.budget.try_spend(self._context.loop.time())

    def _retry(self) -> None:
        if self._pick is not None:
            self._tried |= {self._pick.slot}
        self._release()
        self._context.meters.retry()
        self._forward()

    def _give_up(self, problem: UpstreamError | NoEligibleReplica) -> None:
        close = self._context.draining or not self._head.keep_alive
        data = answers.error(problem, close=close, extra=self._id_line(), head_only=self._is_head)
        self._answer_locally(data, problem.http_status)

    def _cut(self, error: str) -> None:
        """The client has part of an answer that will not be finished: it must see that."""
        relay = self._relay
        self._context.meters.cut_stream()
        now_s = self._context.loop.time()
        if self._pick is not None:
            self._context.router.report_failure(self._pick.slot, now_s)
        self._end(relay.head.status if relay is not None else 502, now_s)
        self._client.exchange = None
        told = relay is not None and relay.cut(f"the engine was lost in mid-answer: {error}")
        (self._client.transport.close if told else self._client.transport.abort)()

    def _answer_locally(self, data: bytes, status: int) -> None:
        self._client.transport.write(data)
        self._end(status, self._context.loop.time())
        self._client.finished(keep_alive=self._head.keep_alive and not self._context.draining)

    def _abandon(self) -> None:
        """Stop whatever is being asked of the engine."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.abandon()

    def _release(self) -> None:
        """Give back what was charged, once."""
        pick, self._pick = self._pick, None
        if pick is not None:
            self._context.ledger.release(pick.slot, self._charged_prompt, self._charged_output)
            self._charged_prompt = self._charged_output = 0

    def _end(self, status: int, now_s: float) -> None:
        """Release and record; every way out comes through here once."""
        context, pick, relay = self._context, self._pick, self._relay
        context.exchanges.discard(self)
        ttft_s = relay.first_s - self._started_s if relay is not None and relay.first_s else None
        slot = pick.slot if pick is not None else -1
        self._release()
        context.meters.request_finished(slot, status, ttft_s, now_s - self._started_s, self._pool_name)
        if context.access_log is not None:
            context.access_log.write(self._record(slot, pick, status, ttft_s, now_s))

    def _record(
        self, slot: int, pick: Pick | None, status: int, ttft_s: float | None, now_s: float
    ) -> dict[str, object]:
        relay, request = self._relay, self._request
        return {
            "request_id": self.request_id.decode("ascii"),
            "client": self._client.peer,
            "method": self._head.method.decode("ascii"),
            "path": self._head.path.decode("ascii"),
            "status": status,
            "pool": self._pool_name,
            "replica": self._context.fleet.ids[slot] if slot >= 0 else "",
            "model": request.model,
            "streams": request.streams,
            "prompt_tokens": request.prompt_tokens,
            "output_tokens": relay.tokens()[0] if relay is not None else 0,
            "ttft_s": round(ttft_s, 6) if ttft_s is not None else None,
            "total_s": round(now_s - self._started_s, 6),
            "attempts": self._attempts,
            "reason": pick.reason if pick is not None else "",
            "error": self._last_error,
        }

    @property
    def _is_head(self) -> bool:
        return self._head.method == b"HEAD"

    @property
    def _pool_name(self) -> str:
        return self._pool.name if self._pool is not None else ""

    def _id_line(self) -> bytes:
        return b"X-Request-Id: %b\r\n" % self.request_id
