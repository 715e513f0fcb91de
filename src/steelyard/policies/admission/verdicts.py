"""What admission decides, as values."""

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """Why a request may not start now.

    limited: "requests", "tokens" or "concurrency".
    limit: the limit that it met.
    retry_after_s: when it could be met again, if nobody else asks.
    """

    limited: str
    limit: float
    retry_after_s: float


class LimitState(msgspec.Struct, frozen=True):
    """What is left, as OpenAI's rate-limit fields tell it; a limit of 0 is none."""

    request_limit: int
    requests_left: int
    requests_reset_s: float
    token_limit: int
    tokens_left: int
    tokens_reset_s: float


class NoRoom(msgspec.Struct, frozen=True):
    """A request that was not let into the queue.

    full: whether room was missing; else it would have waited past its deadline.
    retry_after_s: when it is to be expected that one may try again.
    """

    full: bool
    retry_after_s: float
