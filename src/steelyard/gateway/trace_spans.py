"""From what is known of a request that ended to its spans: the request, each decision, each attempt.

Names and attributes follow OpenTelemetry's conventions for HTTP servers and for generative AI clients
(github.com/open-telemetry/semantic-conventions-genai, as of 2026); what they have no name for begins with
`steelyard.`. Never a word of a prompt or an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steelyard.telemetry.spans import Span, Value
from steelyard.wire.answer_label import AnswerLabel
from steelyard.wire.openai import DEFAULT_OUTPUT_TOKENS

_OPERATIONS = {
    "/chat/completions": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
}
CLIENT_LEFT = 499


@dataclass(frozen=True, slots=True)
class Attempt:
    """One engine asked. sent_after_s: since the request came; decision: as `receipts.decision` has it."""

    sent_after_s: float
    pick_span_id: int
    span_id: int
    decision: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """One request. started_s: Unix time; record: its line of the access log; parent_id: 0 for none.

    places: (host, port) by replica. label: what the answer says of itself. cached_tokens: -1 when the engine
    did not say. expected_tokens: 0 for unknown.
    """

    trace_id: int
    span_id: int
    parent_id: int
    started_s: float
    record: dict[str, Any]
    policy: str
    provider: str
    label: AnswerLabel
    cached_tokens: int
    expected_tokens: int
    attempts: tuple[Attempt, ...]
    places: Mapping[str, tuple[str, int]]

    @property
    def operation(self) -> str:
        """What the conventions call it; "" for what is no inference."""
        path = self.record["path"]
        found = (name for end, name in _OPERATIONS.items() if path.endswith(end))
        return next(found, "") if self.provider else ""


def spans_of(trace: Trace) -> list[Span]:
    """All spans, the request's first."""
    spans = [_request_span(trace)]
    ends = [each.sent_after_s for each in trace.attempts[1:]] + [trace.record["total_s"]]
    before_s = 0.0
    for number, (attempt, end_s) in enumerate(zip(trace.attempts, ends, strict=True)):
        last = number == len(trace.attempts) - 1
        spans += [_pick_span(trace, attempt, before_s), _attempt_span(trace, attempt, end_s, last)]
        before_s = end_s
    return spans


def _request_span(trace: Trace) -> Span:
    record = trace.record
    status = record["status"]
    attributes: dict[str, Value] = {
        "http.request.method": record["method"],
        "http.response.status_code": status,
        "url.path": record["path"],
        "client.address": record["client"],
        "steelyard.request_id": record["request_id"],
        "steelyard.pool": record["pool"],
        "steelyard.attempts": record["attempts"],
    }
    if record["tenant"]:
        attributes["steelyard.tenant"] = record["tenant"]
    if status == CLIENT_LEFT:
        attributes["steelyard.client_left"] = True
    if status >= 500:
        attributes["error.type"] = str(status)
    return Span(
        name=f"{record['method']} {record['path']}" if trace.operation else str(record["method"]),
        kind="server",
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        parent_id=trace.parent_id,
        start_s=trace.started_s,
        end_s=trace.started_s + record["total_s"],
        attributes=attributes,
        error=record["error"] or f"status {status}" if status >= 500 else "",
        remote_parent=True,
    )


def _pick_span(trace: Trace, attempt: Attempt, before_s: float) -> Span:
    """From the end of what was before it: waiting for a place is part of it."""
    decided = attempt.decision
    return Span(
        name="steelyard.pick",
        kind="internal",
        trace_id=trace.trace_id,
        span_id=attempt.pick_span_id,
        parent_id=trace.span_id,
        start_s=trace.started_s + before_s,
        end_s=trace.started_s + attempt.sent_after_s,
        attributes={
            "steelyard.policy": trace.policy,
            "steelyard.pick.replica": decided["replica"],
            "steelyard.pick.reason": decided["reason"],
            "steelyard.pick.compared": decided["compared"],
            "steelyard.pick.candidates": [_shown(each) for each in decided["candidates"]],
            "steelyard.pick.matched_tokens": decided["matched_tokens"],
        },
    )


def _shown(candidate: dict[str, Any]) -> str:
    score = candidate["score"]
    return str(candidate["replica"]) if score is None else f"{candidate['replica']}={score:g}"


def _attempt_span(trace: Trace, attempt: Attempt, end_s: float, last: bool) -> Span:
    record, replica = trace.record, attempt.decision["replica"]
    host, port = trace.places.get(replica, ("", 0))
    attributes: dict[str, Value] = {"steelyard.replica": replica, "steelyard.pool": record["pool"]}
    if host:
        attributes |= {"server.address": host, "server.port": port}
    if trace.operation:
        attributes |= _asked(trace)
        if last:
            attributes |= _answered(trace, attempt)
    error = _error(record, last, only=len(trace.attempts) == 1)
    if error:
        answered = last and record["status"] >= 500
        attributes["error.type"] = str(record["status"]) if answered else "engine_lost"
    model = f" {record['model']}" if record["model"] else ""
    return Span(
        name=f"{trace.operation}{model}" if trace.operation else str(record["method"]),
        kind="client",
        trace_id=trace.trace_id,
        span_id=attempt.span_id,
        parent_id=trace.span_id,
        start_s=trace.started_s + attempt.sent_after_s,
        end_s=trace.started_s + end_s,
        attributes=attributes,
        error=error,
    )


def _error(record: dict[str, Any], last: bool, only: bool) -> str:
    """What went wrong with an attempt: one that was followed by another always failed."""
    if not last or record["status"] >= 500:
        return record["error"] or "the engine failed"
    # A single attempt whose answer had begun, and which has an error to tell, was cut.
    return str(record["error"]) if only else ""


def _asked(trace: Trace) -> dict[str, Value]:
    record = trace.record
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": trace.operation,
        "gen_ai.provider.name": trace.provider,
        "gen_ai.request.stream": bool(record["streams"]),
    }
    if record["model"]:
        attributes["gen_ai.request.model"] = record["model"]
    if trace.expected_tokens not in (0, DEFAULT_OUTPUT_TOKENS):
        attributes["gen_ai.request.max_tokens"] = trace.expected_tokens
    return attributes


def _answered(trace: Trace, attempt: Attempt) -> dict[str, Value]:
    """The gateway counts a prompt by its bytes: that it is an estimate is said beside it."""
    record = trace.record
    attributes: dict[str, Value] = {
        "gen_ai.usage.input_tokens": record["prompt_tokens"],
        "steelyard.input_tokens_estimated": True,
        "gen_ai.usage.output_tokens": record["output_tokens"],
    }
    if trace.label.answer_id:
        attributes["gen_ai.response.id"] = trace.label.answer_id
    if trace.label.model:
        attributes["gen_ai.response.model"] = trace.label.model
    if trace.label.finish_reasons:
        attributes["gen_ai.response.finish_reasons"] = list(trace.label.finish_reasons)
    if trace.cached_tokens >= 0:
        attributes["gen_ai.usage.cache_read.input_tokens"] = trace.cached_tokens
    if record["ttft_s"] is not None and record["streams"]:
        first_s = max(0.0, record["ttft_s"] - attempt.sent_after_s)
        attributes["gen_ai.response.time_to_first_chunk"] = round(first_s, 6)
    return attributes
