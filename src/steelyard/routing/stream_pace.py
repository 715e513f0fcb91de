"""Streams that crawl: slower by a factor than the pool's middle, for a whole window.

The pool's pace is the median of its last streams' seconds a token, so a few slow ones do not move it and a
pool that is slow in all is not taken for a fault. A stream is looked at once a window. Cost: a
comparison a look; a sort of 64 numbers at most once in 16 ends.
"""

from collections import deque
from statistics import median

KEPT_STREAMS = 64
LEAST_STREAMS = 8  # with fewer, nobody knows what is usual
RESORT_EVERY = 16


class PoolPace:
    """What is usual in a pool."""

    __slots__ = ("_ends", "_factor", "_median_s", "_paces_s", "window_s")

    def __init__(self, factor: float, window_s: float) -> None:
        """factor: how many times slower than usual is a crawl; 0 looks at nothing."""
        self._factor = factor
        self.window_s = window_s
        self._paces_s: deque[float] = deque(maxlen=KEPT_STREAMS)
        self._median_s = 0.0
        self._ends = 0

    def stream_ended(self, tokens: int, took_s: float) -> None:
        """A stream ended well: so many tokens after its first, in so long."""
        if tokens < 2 or not self._factor:
            return
        self._paces_s.append(took_s / tokens)
        self._ends += 1
        if self._ends % RESORT_EVERY == 0 or len(self._paces_s) == LEAST_STREAMS:
            self._median_s = median(self._paces_s)

    def is_crawl(self, tokens: int, window_s: float) -> bool:
        """Whether so few tokens in a window are a crawl."""
        if not self._factor or len(self._paces_s) < LEAST_STREAMS or window_s < self.window_s:
            return False
        return window_s > self._factor * self._median_s * (tokens + 1)
