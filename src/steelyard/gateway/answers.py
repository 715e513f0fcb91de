"""Answers that the gateway gives by itself: errors in OpenAI's shape, the list of models, interim ones."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from steelyard.gateway.dates import date_line
from steelyard.model.errors import BadRequest, NoEligibleReplica, SteelyardError
from steelyard.wire.decimal_bytes import decimal
from steelyard.wire.openai import error_body, error_kind

if TYPE_CHECKING:
    from steelyard.gateway.request_plan import RequestPlan

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"

ALLOW = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
RETRY_AFTER = b"Retry-After: 1\r\n"

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
STATUS_LINES = {
    status: f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}\r\n".encode() for status in range(100, 600)
}


def answer(
    status: int,
    body: bytes,
    *,
    content_type: bytes = b"application/json",
    close: bool = False,
    extra: bytes = b"",
    head_only: bool = False,
) -> bytes:
    """A whole answer. `extra` holds more field lines, each ending in CRLF."""
    return b"%b%bContent-Type: %b\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
        STATUS_LINES[status],
        date_line(),
        content_type,
        len(body),
        b"Connection: close\r\n" if close else b"",
        extra,
        b"" if head_only else body,
    )


def plain_error(status: int, message: str, *, close: bool = False, extra: bytes = b"") -> bytes:
    """An error in OpenAI's shape from a status and a sentence."""
    return answer(status, error_body(message, error_kind(status)), close=close, extra=extra)


def error(
    problem: SteelyardError, *, close: bool = False, extra: bytes = b"", head_only: bool = False
) -> bytes:
    """The answer to an error of ours."""
    status = problem.http_status
    param = problem.param if isinstance(problem, BadRequest) else None
    code = problem.code if isinstance(problem, BadRequest) else None
    if isinstance(problem, NoEligibleReplica):
        code = "model_not_found" if status == 404 else "no_eligible_replica"
        param = "model" if status == 404 else None
    if status in (429, 502, 503):
        extra += RETRY_AFTER
    body = error_body(str(problem), error_kind(status), param=param, code=code)
    return answer(status, body, close=close, extra=extra, head_only=head_only)


def no_route(plan: "RequestPlan", extra: bytes) -> bytes:
    """The answer to a path that leads nowhere."""
    body = error_body(f"no route for {plan.head.path.decode('ascii', 'replace')[:200]}", error_kind(404))
    return answer(404, body, close=not plan.keep_alive, extra=extra, head_only=plan.is_head)


def options(plan: "RequestPlan", keep_alive: bool) -> bytes:
    """The answer to an OPTIONS that asks the gateway itself."""
    line = connection_line(keep_alive, plan.minor_version)
    return b"%b%b%bContent-Length: 0\r\n%b\r\n" % (STATUS_LINES[200], date_line(), ALLOW, line)


def connection_line(keep_alive: bool, minor_version: int) -> bytes:
    """What an answer says of its connection: nothing where HTTP/1.1 means it anyway."""
    if not keep_alive:
        return b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if minor_version == 0 else b""


def relayed(start: bytes, body: bytes, keep_alive: bool, minor_version: int, lines: bytes) -> bytes:
    """An engine's whole answer. start: its head up to the length; lines: what the gateway adds."""
    length, connection = decimal(len(body)), connection_line(keep_alive, minor_version)
    return b"".join((start, b"Content-Length: ", length, b"\r\n", connection, lines, b"\r\n", body))


def stream_error(message: str) -> bytes:
    """The event that ends a stream which could not be finished."""
    return b"data: " + error_body(message, "server_error", code="upstream_lost") + b"\n\n"


def model_list(models: Iterable[str]) -> bytes:
    """OpenAI's list of models, each once, in order of name."""
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": "steelyard"} for name in sorted(set(models))
    ]
    return msgspec.json.encode({"object": "list", "data": data})
