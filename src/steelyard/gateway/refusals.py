"""What a tenant is told: wrong keys, models that are not its own, limits met, and what is left of them.

Error bodies and header names are OpenAI's, so that its clients wait and try again as they should.
"""

import math

from steelyard.gateway import answers
from steelyard.policies.admission.limiter import LimitState, Refusal
from steelyard.wire.openai import error_body

_WHAT = {
    "requests": "requests a minute",
    "tokens": "tokens a minute",
    "concurrency": "requests at once",
}


def wrong_key(*, extra: bytes = b"", close: bool = False) -> bytes:
    """401. It does not say whether the key is unknown, revoked or missing."""
    body = error_body(
        "a valid API key is needed: send it as `Authorization: Bearer KEY`",
        "authentication_error",
        code="invalid_api_key",
    )
    return answers.answer(401, body, close=close, extra=b"WWW-Authenticate: Bearer\r\n" + extra)


def wrong_model(model: str, *, extra: bytes = b"", close: bool = False) -> bytes:
    """404, whether the model exists or not: what others may use is not this tenant's business."""
    body = error_body(
        f"the model {model[:200]!r} does not exist or you do not have access to it",
        "invalid_request_error",
        param="model",
        code="model_not_found",
    )
    return answers.answer(404, body, close=close, extra=extra)


def limit_met(refusal: Refusal, *, extra: bytes = b"", close: bool = False) -> bytes:
    """429 with the time after which it is worth trying again."""
    wait = retry_after(refusal.retry_after_s)
    message = (
        f"the limit of {refusal.limit:g} {_WHAT[refusal.limited]} is reached: try again in {wait} seconds"
    )
    body = error_body(message, "rate_limit_error", code="rate_limit_exceeded")
    return answers.answer(429, body, close=close, extra=b"Retry-After: %d\r\n%b" % (wait, extra))


def no_place(full: bool, retry_after_s: float, *, extra: bytes = b"", close: bool = False) -> bytes:
    """The queue cannot take it: 429 when it is full for this tenant, 503 when it would wait too long."""
    wait = retry_after(retry_after_s)
    why = "too many requests wait already" if full else "it could not be served in time"
    status = 429 if full else 503
    kind = "rate_limit_error" if full else "server_error"
    body = error_body(f"{why}: try again in {wait} seconds", kind, code="overloaded")
    return answers.answer(status, body, close=close, extra=b"Retry-After: %d\r\n%b" % (wait, extra))


def retry_after(seconds: float) -> int:
    """Whole seconds, never too few, at least one."""
    return max(1, math.ceil(seconds - 1e-9))


def limit_lines(state: LimitState) -> bytes:
    """OpenAI's rate-limit fields, for those limits that there are."""
    lines = b""
    if state.request_limit:
        lines = (
            b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: %d\r\n"
            b"x-ratelimit-reset-requests: %b\r\n"
            % (state.request_limit, state.requests_left, _span(state.requests_reset_s))
        )
    if state.token_limit:
        lines += (
            b"x-ratelimit-limit-tokens: %d\r\nx-ratelimit-remaining-tokens: %d\r\n"
            b"x-ratelimit-reset-tokens: %b\r\n"
            % (state.token_limit, state.tokens_left, _span(state.tokens_reset_s))
        )
    return lines


def _span(seconds: float) -> bytes:
    """A time as OpenAI writes it: 250ms, 1.5s, 6m0s."""
    if seconds < 1:
        return b"%dms" % math.ceil(seconds * 1000)
    if seconds < 60:
        return b"%gs" % (math.ceil(seconds * 10) / 10)
    whole = math.ceil(seconds)
    return b"%dm%ds" % (whole // 60, whole % 60)
