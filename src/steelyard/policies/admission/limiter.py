"""One limit on one subject (a tenant, or a tenant's use of a model), held over all workers at once.

Requests a minute and tokens a minute are token buckets of one minute's capacity; tokens are reserved on
admission (prompt and the most the answer may take) and settled when the answer's length is known;
concurrency is a count. Every worker keeps its own bucket and takes from it what the others' rows say
they took, so the limit holds over all of them, but for what they admit within some 2 ms of each other.
A worker that starts takes over the last level that any row tells.

Counts stand in rows, one a worker, written by it alone; a limiter has `ROW_WORDS` words of each, from `at`
on. A word in shared memory costs more than the whole of the arithmetic, so a limiter may leave the writing to
whoever made it: it puts itself into `unpublished` once, to be published within a millisecond.
Ties: none. Cost: see benchmarks/results/admission.md.
"""

from collections.abc import Sequence
from typing import Protocol

from steelyard.policies.admission.token_bucket import TokenBucket
from steelyard.policies.admission.verdicts import LimitState, Refusal

REQUESTS, TOKENS, RUNNING, REQUEST_LEVEL_MILLI, TOKEN_LEVEL, SEEN_US, REFUSED = range(7)
ROW_WORDS = 8
REFRESH_S = 0.001
MEAN_WEIGHT = 0.1


class Words(Protocol):
    """A row of integers: a list, or a view of shared memory."""

    def __getitem__(self, index: int, /) -> int: ...

    def __setitem__(self, index: int, value: int, /) -> None: ...


class Limiter:
    """A subject's limits as one worker sees them; 0 is no limit.

    requests, tokens: its buckets; None where there is no such limit.
    """

    __slots__ = (
        "_at",
        "_is_unpublished",
        "_max_running",
        "_mean_s",
        "_next_refresh_s",
        "_others",
        "_others_running",
        "_others_seen",
        "_own",
        "_refused",
        "_requests_taken",
        "_running",
        "_seen_s",
        "_tokens_taken",
        "_unpublished",
        "requests",
        "tokens",
        "unlimited",
    )

    def __init__(
        self,
        *,
        own: Words,
        now_s: float,
        requests_per_min: float = 0,
        tokens_per_min: float = 0,
        max_running: int = 0,
        others: Sequence[Words] = (),
        at: int = 0,
        unpublished: "list[Limiter] | None" = None,
    ) -> None:
        """unpublished: where it puts itself when its row is behind; None: it writes its row at once."""
        self.requests = (
            TokenBucket(requests_per_min / 60, requests_per_min, now_s) if requests_per_min else None
        )
        self.tokens = TokenBucket(tokens_per_min / 60, tokens_per_min, now_s) if tokens_per_min else None
        self._max_running = max_running
        self._own = own
        self._others = others
        self._at = at
        self._requests_taken, self._tokens_taken = own[at + REQUESTS], own[at + TOKENS]
        self._running, self._refused = own[at + RUNNING], own[at + REFUSED]
        self._seen_s = own[at + SEEN_US] / 1e6
        self._unpublished = unpublished
        self._is_unpublished = False
        self._others_seen = (0, 0)
        self._others_running = 0
        self._mean_s = 1.0
        self._next_refresh_s = now_s
        self.unlimited = not (requests_per_min or tokens_per_min or max_running)
        self._take_over(now_s)

    def admit(self, tokens: int, now_s: float) -> Refusal | None:
        """Charge one request of so many tokens, or say why not. Every admission must be settled."""
        if not self.unlimited:
            if self._others and now_s >= self._next_refresh_s:
                self._refresh(now_s)
            refusal = self._refusal(tokens, now_s)
            if refusal is not None:
                self._refused += 1
                self._changed()
                return refusal
            if self.requests is not None:
                self.requests.take(1)
            if self.tokens is not None:
                self.tokens.take(tokens)
            self._seen_s = now_s
        self._requests_taken += 1
        self._tokens_taken += tokens
        self._running += 1
        self._changed()
        return None

    def _refusal(self, tokens: int, now_s: float) -> Refusal | None:
        if self._max_running and self._running + self._others_running >= self._max_running:
            return Refusal("concurrency", self._max_running, self._mean_s / self._max_running)
        bucket = self.requests
        if bucket is not None and not bucket.holds(1, now_s):
            return Refusal("requests", bucket.capacity, bucket.wait_s(1, now_s))
        bucket = self.tokens
        if bucket is not None and not bucket.holds(tokens, now_s):
            return Refusal("tokens", bucket.capacity, bucket.wait_s(tokens, now_s))
        return None

    def settle(self, reserved: int, used: int, ran_s: float) -> None:
        """A request ended: give back what it did not use, or take what it used beyond."""
        if self._running:
            self._running -= 1
        self._tokens_taken += used - reserved
        if self.tokens is not None:
            self.tokens.take(used - reserved)
        self._changed()
        self._mean_s += MEAN_WEIGHT * (ran_s - self._mean_s)

    def undo(self, reserved: int) -> None:
        """A request did not start after all, since another limit refused it."""
        self._requests_taken -= 1
        self._tokens_taken -= reserved
        if self._running:
            self._running -= 1
        self._changed()
        if self.requests is not None:
            self.requests.take(-1)
        if self.tokens is not None:
            self.tokens.take(-reserved)

    def count(self, tokens: int) -> None:
        """So many tokens were taken that no limit of ours is about; below 0: fewer than was said."""
        self._tokens_taken += tokens
        self._changed()

    def heard(self) -> int:
        """Tokens that others took since this was asked last."""
        before, self._others_seen = self._others_seen, self._sums()
        return self._others_seen[1] - before[1]

    def state(self, now_s: float) -> LimitState:
        """What is left now."""
        requests, tokens = self.requests, self.tokens
        return LimitState(
            int(requests.capacity) if requests else 0,
            max(0, int(requests.fill(now_s))) if requests else 0,
            requests.full_in_s(now_s) if requests else 0.0,
            int(tokens.capacity) if tokens else 0,
            max(0, int(tokens.fill(now_s))) if tokens else 0,
            tokens.full_in_s(now_s) if tokens else 0.0,
        )

    # --- between workers -----------------------------------------------------------------------

    def _sums(self) -> tuple[int, int]:
        at, requests, tokens, running = self._at, 0, 0, 0
        for row in self._others:
            requests += row[at + REQUESTS]
            tokens += row[at + TOKENS]
            running += row[at + RUNNING]
        self._others_running = running
        return requests, tokens

    def _refresh(self, now_s: float) -> None:
        """Take from our buckets what the others took since the last time."""
        self._next_refresh_s = now_s + REFRESH_S
        requests, tokens = self._sums()
        requests_before, tokens_before = self._others_seen
        self._others_seen = (requests, tokens)
        if self.requests is not None and requests != requests_before:
            self.requests.fill(now_s)
            self.requests.take(requests - requests_before)
        if self.tokens is not None and tokens != tokens_before:
            self.tokens.fill(now_s)
            self.tokens.take(tokens - tokens_before)

    def _changed(self) -> None:
        """Our row is behind: write it, or have it written soon."""
        if self._unpublished is None:
            self.publish()
        elif not self._is_unpublished:
            self._is_unpublished = True
            self._unpublished.append(self)

    def publish(self) -> None:
        """Write our row; our level stands there for a worker that starts later."""
        self._is_unpublished = False
        own, at = self._own, self._at
        own[at + REQUESTS], own[at + TOKENS] = self._requests_taken, self._tokens_taken
        own[at + RUNNING], own[at + REFUSED] = self._running, self._refused
        if self.requests is not None:
            own[at + REQUEST_LEVEL_MILLI] = int(self.requests.level * 1000)
        if self.tokens is not None:
            own[at + TOKEN_LEVEL] = int(self.tokens.level)
        own[at + SEEN_US] = int(self._seen_s * 1e6)

    def _take_over(self, now_s: float) -> None:
        self._others_seen = self._sums()
        at = self._at
        last = max((self._own, *self._others), key=lambda row: row[at + SEEN_US])
        if not last[at + SEEN_US]:
            return
        seen_s = min(now_s, last[at + SEEN_US] / 1e6)
        for bucket, level in (
            (self.requests, last[at + REQUEST_LEVEL_MILLI] / 1000),
            (self.tokens, float(last[at + TOKEN_LEVEL])),
        ):
            if bucket is not None:
                bucket.level, bucket.seen_s = min(bucket.capacity, level), seen_s
                bucket.fill(now_s)
