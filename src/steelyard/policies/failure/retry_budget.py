"""A retry budget: retries may be a share of the requests, and no more, however many fail.

A token bucket: each request adds `fraction` of a token, time adds `min_per_s`, a retry takes one. Ten
seconds' worth is kept, so that an old calm does not pay for a new storm. Source: Finagle's
RetryBudget (20 % of requests plus a minimum a second). Cost: a few additions.
"""


class RetryBudget:
    """One pool's budget in one worker."""

    __slots__ = ("_cap", "_fraction", "_last_s", "_min_per_s", "_most", "_tokens")

    KEPT_S = 10.0

    def __init__(self, fraction: float, min_per_s: float) -> None:
        self._fraction = fraction
        self._min_per_s = min_per_s
        self._tokens = self._most = max(1.0, min_per_s * self.KEPT_S)
        # The bucket holds at most KEPT_S of the minimum, or 100 requests' earnings on a busy pool.
        self._cap = max(self._most, 100 * fraction)
        self._last_s = 0.0

    def request_started(self, now_s: float) -> None:
        """A first try was made: it earns a share of a retry."""
        tokens = self._tokens + self._fraction
        self._tokens = tokens if tokens < self._cap else self._cap

    def try_spend(self, now_s: float) -> bool:
        """Whether one more retry may be made now; if so it is paid."""
        if self._last_s:
            self._tokens = min(
                self._tokens + (now_s - self._last_s) * self._min_per_s, max(self._most, self._tokens)
            )
        self._last_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
