"""Which pool is tried next when one could not answer: few tries, spaced, and bounded in time.

A model's pools stand in an order: other replicas, another site, a larger model, a hosted service. What is
the pool's fault goes on to the next pool whose circuit is closed, or may be probed. A busy pool (429,
503) is asked once more after the time it names, if that is short. A prompt too long for the model goes
once to the model's larger pool. Whatever else is the caller's fault ends the tries: a refusal of
content is an answer. Waits grow and are jittered, so that clients of one failure do not come back as one.
Ties: the order of the pools. Cost: a few comparisons a failure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from steelyard.model.chance import Rng
from steelyard.policies.failure.circuit import Circuit


class Failure(Enum):
    """Why a pool gave no answer."""

    UNREACHABLE = "cannot be reached"
    SERVER_ERROR = "answered with an error"
    BUSY = "is busy"
    NO_HEAD = "did not answer in time"
    NO_FIRST_TOKEN = "gave no token in time"  # noqa: S105  a token of text
    BROKEN = "broke off its answer"
    TOO_LONG = "finds the prompt too long"
    CALLER = "refuses the request"


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackLimits:
    """Bounds of one request's tries. short_wait_s: the longest Retry-After that is waited out."""

    max_attempts: int = 4
    total_timeout_s: float = 60.0
    backoff_s: float = 0.05
    max_backoff_s: float = 1.0
    short_wait_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The pools of one model, in order. larger: where a prompt goes that is too long for them, or ""."""

    pools: tuple[str, ...]
    larger: str = ""


@dataclass(frozen=True, slots=True)
class Try:
    """Ask this pool, after so long."""

    pool: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class Stop:
    """No more tries; the last failure is the client's answer."""

    reason: str


class Attempts:
    """One request's way through its model's pools. attempts: tries that were decided so far."""

    __slots__ = (
        "_chain",
        "_circuits",
        "_deadline_s",
        "_limits",
        "_pool",
        "_rng",
        "_waited",
        "attempts",
        "tried",
    )

    def __init__(
        self, chain: Chain, circuits: Mapping[str, Circuit], limits: FallbackLimits, rng: Rng, now_s: float
    ) -> None:
        self._chain = chain
        self._circuits = circuits
        self._limits = limits
        self._rng = rng
        self._deadline_s = now_s + limits.total_timeout_s
        self._pool = ""
        self._waited: set[str] = set()
        self.attempts = 0
        self.tried: list[str] = []

    def first(self, now_s: float) -> Try:
        """The first pool that may be tried; with every circuit open the first of all: better than none."""
        pool = self._next_pool(now_s) or self._chain.pools[0]
        return self._go(pool, 0.0)

    def succeeded(self) -> None:
        """The pool tried last answered."""
        self._circuits[self._pool].succeeded()

    def after(self, failure: Failure, now_s: float, retry_after_s: float | None = None) -> Try | Stop:
        """What to do when the pool tried last failed."""
        pool = self._pool
        if failure is Failure.CALLER:
            self.succeeded()
            return Stop("the caller's own mistake")
        if failure is Failure.TOO_LONG:
            self.succeeded()
            larger = self._chain.larger
            if not larger or larger in self.tried or self.attempts >= self._limits.max_attempts:
                return Stop("no larger model")
            return self._go(larger, 0.0)
        if failure is not Failure.BUSY:
            self._circuits[pool].failed(now_s)
        if self.attempts >= self._limits.max_attempts:
            return Stop(f"{self.attempts} attempts were made")
        wait_s = self._backoff_s()
        if failure is Failure.BUSY and pool not in self._waited:
            asked_s = retry_after_s if retry_after_s is not None else wait_s
            if asked_s <= self._limits.short_wait_s:
                self._waited.add(pool)
                # Never sooner than asked, and not all at once.
                return self._bounded(pool, asked_s + wait_s * self._rng.random(), now_s)
        following = self._next_pool(now_s)
        if not following:
            return Stop("no pool is left")
        return self._bounded(following, wait_s, now_s)

    def _bounded(self, pool: str, wait_s: float, now_s: float) -> Try | Stop:
        if now_s + wait_s >= self._deadline_s:
            return Stop(f"{self._limits.total_timeout_s:g} s are over")
        return self._go(pool, wait_s)

    def _go(self, pool: str, wait_s: float) -> Try:
        self.attempts += 1
        self._pool = pool
        self.tried.append(pool)
        return Try(pool, wait_s)

    def _next_pool(self, now_s: float) -> str:
        for pool in self._chain.pools:
            if pool not in self.tried and self._circuits[pool].may_try(now_s):
                return pool
        return ""

    def _backoff_s(self) -> float:
        """Grows with the attempts; between half and all of it, by chance."""
        limits = self._limits
        grown_s = min(limits.max_backoff_s, limits.backoff_s * 2.0 ** max(0, self.attempts - 1))
        return grown_s * (0.5 + 0.5 * self._rng.random())
