"""What a tenant is told: wrong keys, models that are not its own, limits met, and what is left of them.

Error bodies and header names are OpenAI's, so that its clients wait and try again as they should.
"""

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from steelyard.gateway import answers
from steelyard.policies.admission.limiter import Limiter
from steelyard.policies.admission.verdicts import LimitState, Refusal
from steelyard.wire.decimal_bytes import decimal
from steelyard.wire.openai import error_body

if TYPE_CHECKING:
    from steelyard.gateway.exchange import Exchange

_LINES = b"x-ratelimit-limit-%b: %%d\r\nx-ratelimit-remaining-%b: %%d\r\nx-ratelimit-reset-%b: %%b\r\n"
_REQUEST_LINES = _LINES % (b"requests", b"requests", b"requests")
_TOKEN_LINES = _LINES % (b"tokens", b"tokens", b"tokens")
_START = b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: "
_REQUESTS_RESET: Final = b"\r\nx-ratelimit-reset-requests: "
_TOKENS_RESET: Final = b"\r\nx-ratelimit-reset-tokens: "
_MILLISECONDS: Final[list[bytes]] = [b"%dms" % number for number in range(1000)] + [b"1s"]
_TENTHS: Final[list[bytes]] = [b"%gs" % (number / 10) for number in range(600)] + [b"1m0s"]
_WHAT = {
    "requests": "requests a minute",
    "tokens": "tokens a minute",
    "concurrency": "requests at once",
}


class Refused(NamedTuple):
    """An answer to come. lines: more field lines, each ending in CRLF."""

    status: int
    body: bytes
    lines: bytes


CHALLENGE = b"WWW-Authenticate: Bearer\r\n"  # RFC 9110 section 11.6.1: every 401 has one

# It does not say whether the key is unknown, revoked or missing.
WRONG_KEY = Refused(
    401,
    error_body(
        "a valid API key is needed: send it as `Authorization: Bearer KEY`",
        "authentication_error",
        code="invalid_api_key",
    ),
    CHALLENGE,
)


NO_MODEL = Refused(
    400,
    error_body(
        "this key is for certain models only: name one as `model` in a JSON body, once",
        "invalid_request_error",
        param="model",
        code="model_required",
    ),
    b"",
)


def wrong_model(model: str) -> Refused:
    """404, whether the model exists or not: what others may use is not this tenant's business."""
    body = error_body(
        f"the model {model[:200]!r} does not exist or you do not have access to it",
        "invalid_request_error",
        param="model",
        code="model_not_found",
    )
    return Refused(404, body, b"")


def limit_met(refusal: Refusal, state: LimitState) -> Refused:
    """429 with the time after which it is worth trying again, and what is left."""
    wait = retry_after(refusal.retry_after_s)
    message = (
        f"the limit of {refusal.limit:g} {_WHAT[refusal.limited]} is reached: try again in {wait} seconds"
    )
    body = error_body(message, "rate_limit_error", code="rate_limit_exceeded")
    return Refused(429, body, b"Retry-After: %d\r\n%b" % (wait, limit_lines(state)))


def no_place(full: bool, retry_after_s: float) -> Refused:
    """The queue cannot take it: 429 when it is full for this tenant, 503 when it would wait too long."""
    wait = retry_after(retry_after_s)
    why = "too many requests wait already" if full else "it could not be served in time"
    kind = "rate_limit_error" if full else "server_error"
    body = error_body(f"{why}: try again in {wait} seconds", kind, code="overloaded")
    return Refused(429 if full else 503, body, b"Retry-After: %d\r\n" % wait)


def retry_after(seconds: float) -> int:
    """Whole seconds, never too few, at least one."""
    return max(1, math.ceil(seconds - 1e-9))


class LimitLines:
    """The same fields, for a limit told with every answer: what does not change is kept written."""

    __slots__ = ("_limiter", "_requests_start", "_tokens_start")

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        requests, tokens = limiter.requests, limiter.tokens
        self._requests_start = self._tokens_start = b""
        if requests is not None:
            self._requests_start = _START % (b"requests", int(requests.capacity), b"requests")
        if tokens is not None:
            self._tokens_start = _START % (b"tokens", int(tokens.capacity), b"tokens")

    def at(self, now_s: float) -> bytes:
        """The lines now; none where nothing is limited."""
        limiter = self._limiter
        requests, tokens = limiter.requests, limiter.tokens
        pieces: list[bytes] = []
        if requests is not None:
            left = int(requests.fill(now_s))
            pieces.append(self._requests_start)
            pieces.append(decimal(left if left > 0 else 0))
            pieces.append(_REQUESTS_RESET)
            pieces.append(_span(requests.full_in_s(now_s)))
            pieces.append(b"\r\n")
        if tokens is not None:
            left = int(tokens.fill(now_s))
            pieces.append(self._tokens_start)
            pieces.append(decimal(left if left > 0 else 0))
            pieces.append(_TOKENS_RESET)
            pieces.append(_span(tokens.full_in_s(now_s)))
            pieces.append(b"\r\n")
        return b"".join(pieces)


def limit_lines(state: LimitState) -> bytes:
    """OpenAI's rate-limit fields, for those limits that there are."""
    lines = b""
    if state.request_limit:
        lines = _REQUEST_LINES % (state.request_limit, state.requests_left, _span(state.requests_reset_s))
    if state.token_limit:
        lines += _TOKEN_LINES % (state.token_limit, state.tokens_left, _span(state.tokens_reset_s))
    return lines


def _span(seconds: float) -> bytes:
    """A time as OpenAI writes it: 250ms, 1.5s, 6m0s."""
    if seconds <= 1:
        return _MILLISECONDS[math.ceil(seconds * 1000)]
    if seconds <= 60:
        return _TENTHS[math.ceil(seconds * 10)]
    whole = math.ceil(seconds)
    return b"%dm%ds" % (whole // 60, whole % 60)


def tell(exchange: "Exchange", refused: Refused) -> None:
    """Send a request away, and end it."""
    plan = exchange.plan
    close = exchange.context.draining or not plan.keep_alive
    lines = refused.lines + exchange.id_line
    data = answers.answer(refused.status, refused.body, close=close, extra=lines, head_only=plan.is_head)
    exchange.answer_locally(data, refused.status)
