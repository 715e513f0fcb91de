"""Traces of requests: what engines are told of them, and what is kept of one when it ends.

Nothing is made while a request runs but the `traceparent` that its engine gets: ids follow from the request
itself, and spans are made from the record that the access log writes, in a thread (`telemetry/spans.py`).
"""

import functools
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from steelyard.config.schema import Configuration
from steelyard.gateway import trace_context
from steelyard.gateway.receipts import decision
from steelyard.gateway.relay import Relay, whole_tokens
from steelyard.gateway.request_plan import RequestPlan, plan_of
from steelyard.gateway.routes import Routes
from steelyard.gateway.trace_context import RANDOM, SAMPLED, TraceIds, TraceParent
from steelyard.gateway.trace_spans import Attempt, Trace, spans_of
from steelyard.model.fleet import Fleet
from steelyard.model.pick import Pick
from steelyard.telemetry.spans import SpanSender
from steelyard.wire.answer_label import AnswerLabel, label, read_label, read_stream_label
from steelyard.wire.head_memo import HeadMemo
from steelyard.wire.http1_head import RequestHead, parse_request_head

if TYPE_CHECKING:
    from steelyard.gateway.exchange import Exchange

_PARENT, _STATE = b"traceparent", b"tracestate"


def traced_plans(routes: Routes, max_fields: int) -> HeadMemo[RequestPlan]:
    """As `request_plan.plans`; the client's trace ends here, and the engine is told of ours instead."""

    def parse(data: bytes) -> tuple[RequestPlan, int]:
        head = parse_request_head(data, max_fields)
        take_trace(head)
        return plan_of(head, routes), head.content_length

    return HeadMemo(parse)


def take_trace(head: RequestHead) -> None:
    """Move what a head says of a trace from the lines that travel on to those that end here."""
    lines = []
    for line in head.lines:
        name, _, value = line.partition(b":")
        lower = name.lower()
        if lower not in (_PARENT, _STATE):
            lines.append(line)
        elif lower in head.own:
            head.own[lower] += b"," + value.strip()  # two parents are no parent; states are one list
        else:
            head.own[lower] = value.strip()
    head.lines = lines


@dataclass(frozen=True, slots=True)
class _Context:
    """Where a request stands in its trace."""

    trace_id: int
    parent: TraceParent | None
    sampled: bool


class Tracing:
    """One worker's. secret: see `TraceIds`."""

    def __init__(self, configuration: Configuration, secret: bytes) -> None:
        self._ids = TraceIds(secret, configuration.tracing.sample_ratio)
        self._sender = SpanSender(configuration.tracing)
        self._policies = {pool.name: pool.policy for pool in configuration.pools}
        self._engines = {
            pool.name: (pool.streams.engine or "openai") if pool.kind == "openai" else ""
            for pool in configuration.pools
        }
        self._places = {
            replica.name: _place(replica.url) for pool in configuration.pools for replica in pool.replicas
        }

    def close(self) -> None:
        """Send what waits and stop."""
        self._sender.close()

    def lines(self, exchange: "Exchange") -> bytes:
        """What an engine is told: the field lines of one attempt, each ending in CRLF."""
        context = self._context(exchange)
        own = exchange.plan.head.own
        span_id = self._span_id(exchange, b"attempt %d" % exchange.attempts)
        kept = context.parent.flags & RANDOM if context.parent is not None else 0
        line = trace_context.write(context.trace_id, span_id, kept | (SAMPLED if context.sampled else 0))
        state = own.get(_STATE, b"") if context.parent is not None else b""
        if state and len(state) <= trace_context.MAX_STATE_BYTES:
            line += b"tracestate: %b\r\n" % state
        return line

    def ended(self, exchange: "Exchange", pick: Pick | None, fleet: Fleet, record: dict[str, Any]) -> None:
        """A request ended as its record says: note its trace's id there, and send its spans."""
        context = self._context(exchange)
        record["trace_id"] = f"{context.trace_id:032x}"
        if not context.sampled:
            return
        relay = exchange.relay
        trace = Trace(
            trace_id=context.trace_id,
            span_id=self._span_id(exchange, b"request"),
            parent_id=context.parent.span_id if context.parent is not None else 0,
            started_s=time() - record["total_s"],
            record=record,
            policy=self._policies.get(exchange.pool_name, ""),
            provider=self._engines.get(exchange.pool_name, ""),
            cached_tokens=relay.tokens()[1] if relay is not None else whole_tokens(exchange.whole)[1],
            label=_label_of(relay, exchange.whole),
            expected_tokens=exchange.request.output_tokens,
            attempts=self._attempts(exchange, pick, fleet) if exchange.attempts else (),
            places=self._places,
        )
        self._sender.send(functools.partial(spans_of, trace))

    def _attempts(self, exchange: "Exchange", pick: Pick | None, fleet: Fleet) -> tuple[Attempt, ...]:
        """All that were made, the first one first. Usually one, and then its receipt need not be sought."""
        if exchange.attempts == 1 and pick is not None:
            found = [(exchange.sent_s - exchange.started_s, decision(pick, fleet.ids))]
        else:
            receipts = exchange.context.receipts.find(exchange.request_id)[-exchange.attempts :]
            found = [(at_s - exchange.started_s, decision(each, fleet.ids)) for at_s, each in receipts]
        first = exchange.attempts - len(found) + 1
        return tuple(
            Attempt(
                sent_after_s=after_s,
                pick_span_id=self._span_id(exchange, b"pick %d" % number),
                span_id=self._span_id(exchange, b"attempt %d" % number),
                decision=decided,
            )
            for number, (after_s, decided) in enumerate(found, first)
        )

    def _context(self, exchange: "Exchange") -> _Context:
        parent = trace_context.parse(exchange.plan.head.own.get(_PARENT, b""))
        if parent is not None:
            return _Context(parent.trace_id, parent, parent.sampled)
        trace_id = self._ids.trace_id(exchange.request_id, exchange.started_s)
        return _Context(trace_id, None, self._ids.sampled(None, trace_id))

    def _span_id(self, exchange: "Exchange", part: bytes) -> int:
        return self._ids.span_id(exchange.request_id, exchange.started_s, part)


def _label_of(relay: Relay | None, whole: bytes) -> AnswerLabel:
    """What the answer says of itself, as far as it has been read or is still at hand."""
    if relay is None:
        return read_label(whole) if whole else AnswerLabel()
    so_far = relay.so_far
    if so_far is None:
        return read_stream_label(relay.tail) if relay.head.event_stream else read_label(relay.tail)
    # Of several choices only the last reason is kept: that would be told as the only one.
    told = so_far.finish_reason and not so_far.several_choices
    return label(so_far.answer_id, so_far.model, (so_far.finish_reason,) if told else ())


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
