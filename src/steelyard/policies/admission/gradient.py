"""Adaptive concurrency: how many requests a replica takes before each of them only gets slower.

The time a token takes now is held against what it takes on the replica when that is not pressed; while the
two are alike the limit grows by a little, when tokens get slower it shrinks in proportion. After Netflix's
Gradient2 (concurrency-limits): gradient = clamp(tolerance · floor / short, 0.5, 1), new = limit · gradient
+ queue, smoothed by 0.2. Gradient2 compares with a long mean, which follows a lasting overload upwards, and
the limit with it, without end; here the floor is the least that was seen, and moves up only by samples
taken when the replica was at most half used, or near the least limit, below which nothing can be tried.
The signal is time per output token, not a request's whole time, which says more of its length than of the
replica. A limit that is not half used is left alone: it has not been tried. Ties: none. Cost: 0.6 µs an
observation.
"""

import math

SHORT_WEIGHT = 0.2  # of the newest sample in the short mean: about ten samples
FLOOR_WEIGHT = 0.05
SMOOTHING = 0.2
QUEUE = 4.0
TOLERANCE = 1.5


class Gradient:
    """One replica's limit, learned from its own answers."""

    __slots__ = ("_floor", "_least", "_limit", "_most", "_short")

    def __init__(self, least: int, most: int, start: int = 20) -> None:
        self._least = least
        self._most = most
        self._limit = float(min(max(start, least), most))
        self._short = self._floor = 0.0

    @property
    def limit(self) -> int:
        """Requests that may be in flight."""
        return int(self._limit)

    def observe(self, token_s: float, running: int) -> None:
        """A request ended. token_s: its seconds per output token; running: in flight beside it."""
        if not (math.isfinite(token_s) and token_s > 0):
            return
        if not self._short:
            self._short = self._floor = token_s
        self._short += SHORT_WEIGHT * (token_s - self._short)
        short, pressed = self._short, running * 2 > self._limit
        if short < self._floor:
            self._floor = short
        elif not pressed or self._limit <= 2 * (self._least + QUEUE):
            self._floor += FLOOR_WEIGHT * (short - self._floor)
        if not pressed:
            return
        gradient = min(1.0, max(0.5, TOLERANCE * self._floor / short))
        wanted = self._limit * gradient + QUEUE
        limit = self._limit + SMOOTHING * (wanted - self._limit)
        self._limit = min(float(self._most), max(float(self._least), limit))
