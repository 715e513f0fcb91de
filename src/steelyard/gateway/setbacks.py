"""What becomes of a request whose engine failed: another try, an error, or an answer that visibly ends early.

Retries: an engine that refused the connection or died gives the request one free try
elsewhere, as the engine is ejected at once and its load has to go somewhere; further tries, and those after
a 429 or 503, take from the pool's retry budget, which caps a storm at a share of the live load.
Nothing is tried again once the client has seen a byte.
"""

from time import monotonic
from typing import TYPE_CHECKING, Final

from steelyard.gateway import answers
from steelyard.gateway.deadlines import overdue
from steelyard.model.errors import BadRequest, NoEligibleReplica, UpstreamError

if TYPE_CHECKING:
    from steelyard.gateway.exchange import Exchange

ASK_ANOTHER: Final = frozenset((429, 503))  # statuses after which another replica may do better


def attempt_failed(exchange: "Exchange", error: str) -> None:
    """An attempt failed: try elsewhere, or say so."""
    exchange.last_error = error
    if not exchange.nothing_written:
        answer_was_cut(exchange, error)  # the attempt was to continue an answer
        return
    exchange.connection = exchange.relay = None
    _report_failure(exchange)
    if _may_retry(exchange, free=True):
        try_elsewhere(exchange)
    else:
        give_up(exchange, UpstreamError(error))


def check_deadlines(exchange: "Exchange", now_s: float) -> None:
    """Called by the sweeper for every exchange: whether anything takes too long."""
    pool, relay, kept = exchange.pool, exchange.relay, exchange.kept
    asked_s = exchange.plan.head.timeout_s
    if asked_s and now_s - exchange.started_s > asked_s:
        out_of_time(exchange, f"the client's own limit of {asked_s:g} s is over")
        return
    if pool is None or exchange.connecting is not None:
        return
    problem = overdue(
        pool.timeouts,
        total_s=now_s - exchange.started_s,
        waited_s=now_s - exchange.last_s,
        has_head=relay is not None,
        begun=not exchange.nothing_written and (kept is None or not kept.waiting),
        client_reads=exchange.nothing_written or not exchange.client.writing_paused,
    )
    if not problem and kept is not None and kept.crawls(now_s):
        problem = "far slower than the pool's other streams"
    if problem:
        timed_out(exchange, problem)


def timed_out(exchange: "Exchange", error: str) -> None:
    """A time budget ran out: the engine's work is cancelled."""
    exchange.abandon()
    if not exchange.nothing_written:
        answer_was_cut(exchange, error)
        return
    late_token = exchange.relay is not None
    exchange.last_error, exchange.relay = error, None
    _report_failure(exchange)
    # A head without a token is an engine that hangs: another may do better, where time is left for it.
    if late_token and another_may_answer(exchange):
        try_elsewhere(exchange)
        return
    problem = UpstreamError(error)
    problem.http_status = 504
    give_up(exchange, problem)


def out_of_time(exchange: "Exchange", error: str) -> None:
    """Nobody waits any longer: that is no engine's fault, and nothing is tried again."""
    exchange.abandon()
    exchange.last_error = error
    if exchange.tries is not None:
        exchange.tries.cancel()
    if exchange.nothing_written:
        exchange.relay = exchange.tries = None
        problem = UpstreamError(error)
        problem.http_status = 504
        give_up(exchange, problem)
    elif not _has_all(exchange):
        _cut(exchange, error)


def answer_was_cut(exchange: "Exchange", error: str) -> None:
    """The client has part of an answer: another engine goes on with it, or the client sees that it is cut."""
    exchange.last_error = error
    if _has_all(exchange):
        return
    if exchange.kept is not None and exchange.kept.goes_on():
        return
    _report_failure(exchange)
    if exchange.tries is not None and exchange.kept is None:
        exchange.tries.was_cut()
    _cut(exchange, f"the engine was lost in mid-answer: {error}")


def _has_all(exchange: "Exchange") -> bool:
    """Whether the client has all of a stream, and the end of its framing alone is missing: it gets that."""
    relay = exchange.relay
    if relay is None or not relay.said_all or exchange.client.transport.is_closing():
        return False
    exchange.abandon()
    exchange.answer_done()
    return True


def _cut(exchange: "Exchange", why: str) -> None:
    """End an answer that the client has a part of, so that it cannot look whole."""
    relay, client = exchange.relay, exchange.client
    exchange.context.meters.cut_stream()
    exchange.end(relay.head.status if relay is not None else 502, monotonic())
    client.exchange = None
    told = relay is not None and relay.cut(why)
    (client.transport.close if told else client.transport.abort)()


def turned_away(exchange: "Exchange", status: int) -> bool:
    """Whether an engine turned a request away that another one may take; if so that is paid for."""
    if status not in ASK_ANOTHER or not another_may_answer(exchange):
        return False
    exchange.last_error = f"the engine answered {status}"
    return True


def another_may_answer(exchange: "Exchange") -> bool:
    """Whether a replica is there that was not tried, and may be; if so that is paid for."""
    pick = exchange.pick
    if pick is None:
        return False
    tried = exchange.tried | {pick.slot}
    router = exchange.context.router
    other = router.has_other(exchange.pool_name, exchange.request, tried, exchange.last_s)
    return other and _may_retry(exchange, free=False)


def try_elsewhere(exchange: "Exchange") -> None:
    """Back to the pick, with the failed replica excluded."""
    if exchange.pick is not None:
        exchange.tried |= {exchange.pick.slot}
    exchange.release()
    exchange.context.meters.retry()
    exchange.forward(monotonic())


def give_up(exchange: "Exchange", problem: BadRequest | UpstreamError | NoEligibleReplica) -> None:
    """Tell the client what is wrong, unless its model has another pool."""
    if exchange.tries is not None and exchange.tries.gave_up(problem):
        return
    plan = exchange.plan
    close = exchange.context.draining or not plan.keep_alive
    data = answers.error(problem, close=close, extra=exchange.id_line, head_only=plan.is_head)
    exchange.answer_locally(data, problem.http_status)


def _may_retry(exchange: "Exchange", *, free: bool) -> bool:
    pool = exchange.pool
    if pool is None or exchange.attempts > pool.max_retries:
        return False
    if free and exchange.free_tries:
        exchange.free_tries -= 1
        return True
    return pool.budget.try_spend(monotonic())


def _report_failure(exchange: "Exchange") -> None:
    if exchange.pick is not None:
        exchange.context.router.report_failure(exchange.pick.slot, monotonic())
