"""A streamed answer that outlives its engine.

Stands between the engine's connection and the exchange for requests whose stream can be kept alive; other
requests do not know of it. While nothing has been written to the client, a lost answer is the
exchange's to retry. After that, `goes_on` picks another replica, asks it for the rest, and what it says is
spliced behind what the client has (`routing/stream_keeper.py`). When nothing works, the answer is cut, and
the client sees that.
"""

from time import monotonic
from typing import TYPE_CHECKING, Final

from steelyard.gateway.answer_head import AnswerHead
from steelyard.gateway.upstream import AnswerReceiver
from steelyard.model.errors import NoEligibleReplica
from steelyard.model.pick import Pick
from steelyard.routing.continuation import Continuation, GiveUp, Way
from steelyard.routing.stream_keeper import StreamBroken, StreamKeeper

if TYPE_CHECKING:
    from steelyard.gateway.exchange import Exchange
    from steelyard.gateway.routes import Pool
    from steelyard.gateway.upstream import UpstreamConnection

CHAT_PATH = b"/chat/completions"
END_TIMEOUT_S: Final = 1.0  # from `[DONE]` to the end of the engine's framing
# Statuses by which an engine refuses this way of asking; 408 and 429 say nothing about the way.
_REFUSALS = frozenset(range(400, 500)) - {408, 429}


class KeptStream(AnswerReceiver):
    """Receives an engine's answer for an exchange.

    waiting: the next engine was asked, and has not said anything yet.
    continued: more than one engine has given the answer.
    """

    __slots__ = (
        "_continuations",
        "_exchange",
        "_keeper",
        "_lost_for_good",
        "_mark_s",
        "_mark_tokens",
        "_pool",
        "_until_close",
        "_way",
        "waiting",
    )

    def __init__(self, exchange: "Exchange", pool: "Pool") -> None:
        self._exchange = exchange
        self._pool = pool
        self._keeper: StreamKeeper | None = None
        self._continuations = 0
        self._way = Way.REPLAY
        self._lost_for_good = self._until_close = False
        self._mark_s = 0.0
        self._mark_tokens = 0
        self.waiting = False

    @property
    def continued(self) -> bool:
        """Whether more than one engine has given the answer."""
        return self._continuations > 0

    # --- what the engine does ------------------------------------------------------------------

    def upstream_connected(self, connection: "UpstreamConnection") -> None:
        """Part of the receiver's protocol; connections are opened for the exchange."""
        self._exchange.upstream_connected(connection)

    def upstream_refused(self, error: str) -> None:
        """Part of the receiver's protocol; connections are opened for the exchange."""
        self._exchange.upstream_refused(error)

    def answer_whole(self, head: AnswerHead, body: bytes) -> None:
        """Head and body came at once: a refusal, an error, or a very short stream."""
        exchange = self._exchange
        if not self.waiting and not _is_stream(head):
            exchange.answer_whole(head, body)
            return
        exchange.connection = None
        self.answer_head(head, len(body), True)
        if exchange.relay is not None and self._keeper is not None and not self.waiting:
            self.answer_payload(body, None)
            if exchange.client.exchange is exchange and not self.waiting:
                self.answer_done()

    def answer_head(self, head: AnswerHead, length: int, has_body: bool) -> None:
        """The first engine's head begins the answer; a later one's only says whether it goes on."""
        exchange = self._exchange
        self._until_close = length < 0 and not head.chunked
        if self.waiting:
            self._take_next_head(head)
            return
        keeps = has_body and _is_stream(head)
        # What is spliced has another length than the engine says.
        exchange.answer_head(head, -1 if keeps else length, has_body)
        if keeps and exchange.relay is not None:
            self._keeper = StreamKeeper(exchange.body, chat=exchange.plan.head.path.endswith(CHAT_PATH))
            exchange.relay.so_far = self._keeper.so_far

    def _take_next_head(self, head: AnswerHead) -> None:
        exchange, pick = self._exchange, self._exchange.pick
        exchange.last_s = monotonic()
        if _is_stream(head):
            self.waiting = False
            return
        if head.status in _REFUSALS and pick is not None:
            self._pool.refused_ways.setdefault(pick.slot, set()).add(self._way)
            if self._go_on(pick):
                return
        self._lost(f"the next engine answered {head.status}")

    def answer_payload(self, payload: bytes, framed: bytes | None) -> None:
        """Pass on what is whole and well formed."""
        exchange, keeper = self._exchange, self._keeper
        if keeper is None:
            exchange.answer_payload(payload, framed)
            return
        try:
            out = keeper.feed(payload)
        except StreamBroken as broken:
            self._broke(broken)
            return
        if out:
            exchange.answer_payload(out, framed if out is payload else None)
        else:
            exchange.last_s = monotonic()

    def answer_done(self) -> None:
        """The engine's answer is complete by its framing; what its stream still lacks is added."""
        exchange, keeper, relay = self._exchange, self._keeper, self._exchange.relay
        if keeper is None or relay is None:
            exchange.answer_done()
            return
        if not keeper.so_far.begun and (not relay.begun or not keeper.ended):
            exchange.connection = None
            self._broke(StreamBroken("the engine ended its stream before it began", b""))
            return
        if keeper.torn or (self._until_close and not keeper.ended):
            # A closed connection is all the end that there is, and a killed engine's closes, too.
            exchange.connection = None
            self._broke(StreamBroken("the engine's stream stopped before its end", b""))
            return
        try:
            end = keeper.complete()
        except StreamBroken as broken:
            exchange.connection = None
            self._broke(broken)
            return
        if end:
            exchange.answer_payload(end, None)
        if not self.continued:
            self._pool.pace.stream_ended(keeper.so_far.tokens - 1, monotonic() - relay.first_s)
        exchange.answer_done()

    def upstream_lost(self, error: str) -> None:
        """The connection broke."""
        exchange = self._exchange
        connection = exchange.connection
        fresh = connection is None or not connection.answered or connection.answer_begun
        if self.waiting and not fresh and exchange.pick is not None:
            exchange.connection = None  # a kept connection that was closing already: not a fault
            exchange.connecting = exchange.context.upstreams[exchange.pick.slot].connect(exchange)
        else:
            exchange.upstream_lost(error)

    # --- when it is lost -----------------------------------------------------------------------

    def _broke(self, broken: StreamBroken) -> None:
        """The engine said what cannot be passed on."""
        if broken.good:
            self._exchange.answer_payload(broken.good, None)
        self._lost_for_good = broken.diverged
        self._lost(str(broken))

    def _lost(self, error: str) -> None:
        self._exchange.abandon()
        self._exchange.upstream_lost(error)

    def goes_on(self) -> bool:
        """The engine is lost in mid-answer; whether another one goes on with it."""
        exchange, keeper = self._exchange, self._keeper
        if keeper is None:
            return False
        if self._lost_for_good or exchange.client.transport.is_closing():
            self._count_cut(keeper)
            return False
        now_s = monotonic()
        exchange.abandon()
        if exchange.pick is not None:
            exchange.context.router.report_failure(exchange.pick.slot, now_s)
            exchange.tried |= {exchange.pick.slot}
        exchange.release()
        if self._continuations_left:
            self._continuations += 1
            if self._go_on(self._next_pick(now_s)):
                return True
        while self._enter_next_pool():
            if self._go_on(self._next_pick(now_s)):
                return True
        self._count_cut(keeper)
        return False

    def _enter_next_pool(self) -> bool:
        """When a model has several pools, the next one may go on with its stream."""
        tries = self._exchange.tries
        pool = tries.enter_mid_stream() if tries is not None else None
        if pool is None:
            return False
        self._pool = pool
        self._continuations = 1
        return True

    def _go_on(self, pick: Pick | None) -> bool:
        """Ask this replica for the rest; whether there was a way."""
        exchange, keeper, pool = self._exchange, self._keeper, self._pool
        if keeper is None:
            return False
        slot = pick.slot if pick is not None else -1
        todo = keeper.go_on(
            engine=pool.streams.engine,
            refused=pool.refused_ways.get(slot, frozenset()),
            replays_chance=pool.streams.continuation == "on",
        )
        if isinstance(todo, GiveUp):
            exchange.last_error = todo.reason
            return False
        if pick is None and todo.way is not Way.FINISH:
            return False
        exchange.abandon()
        if opening := keeper.opening():
            exchange.answer_payload(opening, None)
        if todo.way is Way.FINISH:
            self.answer_done()
        elif pick is not None:
            self._ask(pick, todo)
        return True

    def _ask(self, pick: Pick, todo: Continuation) -> None:
        exchange, request = self._exchange, self._exchange.request
        cause = "replayed" if todo.way is Way.REPLAY else "continued"
        exchange.context.meters.stream_continued()
        exchange.context.meters.wasted(cause, request.prompt_tokens + todo.given_tokens)
        exchange.body = todo.body if exchange.tries is None else exchange.tries.renamed(todo.body)
        self._way = todo.way
        self.waiting = True
        self._mark_s = 0.0
        exchange.release()
        exchange.ask(pick, monotonic())

    def _next_pick(self, now_s: float) -> Pick | None:
        """Another replica; one that failed before when there is no other: it may be back."""
        exchange, router = self._exchange, self._exchange.context.router
        for tried in (exchange.tried, frozenset[int]()):
            try:
                return router.route(self._pool.name, exchange.request, tried, now_s)
            except NoEligibleReplica:
                exchange.tried = frozenset()
        return None

    @property
    def _continuations_left(self) -> bool:
        return self._continuations < self._pool.streams.max_continuations

    def _count_cut(self, keeper: StreamKeeper) -> None:
        self._exchange.context.meters.wasted("cut", keeper.so_far.tokens)

    def client_left(self) -> None:
        """Nobody waits for what was computed."""
        if self._keeper is not None:
            self._exchange.context.meters.wasted("left", self._keeper.so_far.tokens)

    # --- what time does ------------------------------------------------------------------------

    def crawls(self, now_s: float) -> bool:
        """Whether the stream is so slow that another replica should go on with it. Asked by the sweeper."""
        exchange, keeper = self._exchange, self._keeper
        if keeper is None or self.waiting:
            return False
        if keeper.so_far.done:
            return (
                now_s - exchange.last_s > END_TIMEOUT_S
            )  # all is said: clients wait for no more than the end
        if not keeper.so_far.tokens:
            return False
        tokens = keeper.so_far.tokens
        if not self._mark_s:
            self._mark_s, self._mark_tokens = now_s, tokens
            return False
        window_s = now_s - self._mark_s
        if window_s < self._pool.pace.window_s:
            return False
        given, self._mark_s, self._mark_tokens = tokens - self._mark_tokens, now_s, tokens
        if exchange.client.transport.get_write_buffer_size() or not self._continuations_left:
            return False
        if exchange.pick is None or not self._pool.pace.is_crawl(given, window_s):
            return False
        tried = exchange.tried | {exchange.pick.slot}
        return exchange.context.router.has_other(self._pool.name, exchange.request, tried, now_s)


def _is_stream(head: AnswerHead) -> bool:
    """Whether an answer is a stream whose events can be read."""
    return head.status == 200 and head.event_stream
