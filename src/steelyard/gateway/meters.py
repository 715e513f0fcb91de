"""What a worker counts, and where: a fixed layout of words in its counter row of the shared page.

Every label has a bound: pools come from the configuration, replicas from slots, statuses are five
classes. Words only grow. Sums of seconds are kept in microseconds. Cost: about 1 µs a request.
"""

from bisect import bisect_left
from itertools import accumulate

from steelyard.runtime.page import MAX_SLOTS, SharedPage

MAX_POOLS = 32
STATUS_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "left")
LEFT = 5  # a client that went away: 499, counted by itself
OUTCOMES = ("ok", "client_error", "server_error")
STATUS_CLASSES_COUNT, OUTCOMES_COUNT = len(STATUS_CLASSES), len(OUTCOMES)

TTFT_BOUNDS_S = (
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.15,
    0.25,
    0.5,
    0.75,
    1,
    1.5,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
)
TOTAL_BOUNDS_S = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    1.5,
    2.5,
    5,
    10,
    15,
    20,
    30,
    40,
    60,
    120,
    240,
    480,
)
_HISTOGRAM_WORDS = len(TTFT_BOUNDS_S) + 2  # one more bucket above the last bound, and the sum

PLAIN = ("retries", "cut_streams", "connections_refused", "malformed_requests", "access_log_dropped")
_SIZES = (
    ("plain", len(PLAIN)),
    ("pools", MAX_POOLS * len(STATUS_CLASSES)),
    ("replicas", MAX_SLOTS * len(OUTCOMES)),
    ("ttft", MAX_POOLS * _HISTOGRAM_WORDS),
    ("total", MAX_POOLS * _HISTOGRAM_WORDS),
)
_STARTS = dict(
    zip((name for name, _ in _SIZES), accumulate((size for _, size in _SIZES), initial=0), strict=False)
)
POOLS_AT, REPLICAS_AT, TTFT_AT, TOTAL_AT = (_STARTS[name] for name in ("pools", "replicas", "ttft", "total"))
_RETRIES, _CUT, _REFUSED, _MALFORMED, _LOG_DROPPED = range(len(PLAIN))


class Meters:
    """One worker's counters."""

    __slots__ = ("_row",)

    def __init__(self, page: SharedPage, worker: int) -> None:
        self._row = page.counter_row(worker)

    def request_finished(self, pool: int, slot: int, status: int, ttft_s: float, total_s: float) -> None:
        """A request ended.

        pool: its index; slot: -1 when no replica was picked; ttft_s: 0 for an answer that came in one piece.
        """
        row = self._row
        if pool >= MAX_POOLS:
            return
        status_class = status // 100 - 1 if status != 499 else LEFT
        row[POOLS_AT + pool * STATUS_CLASSES_COUNT + status_class] += 1
        if slot >= 0:
            row[REPLICAS_AT + slot * OUTCOMES_COUNT + (0 if status < 400 else 1 if status < 500 else 2)] += 1
        at = TOTAL_AT + pool * _HISTOGRAM_WORDS
        row[at + bisect_left(TOTAL_BOUNDS_S, total_s)] += 1
        row[at + _HISTOGRAM_WORDS - 1] += int(total_s * 1e6)
        if ttft_s:
            at = TTFT_AT + pool * _HISTOGRAM_WORDS
            row[at + bisect_left(TTFT_BOUNDS_S, ttft_s)] += 1
            row[at + _HISTOGRAM_WORDS - 1] += int(ttft_s * 1e6)

    def retry(self) -> None:
        """A request goes to another replica."""
        self._row[_RETRIES] += 1

    def cut_stream(self) -> None:
        """An engine was lost in the middle of an answer."""
        self._row[_CUT] += 1

    def client_error(self, status: int) -> None:
        """A connection was refused (503) or sent what is no request."""
        self._row[_REFUSED if status == 503 else _MALFORMED] += 1

    def log_dropped(self) -> None:
        """A line of the access log could not be written."""
        self._row[_LOG_DROPPED] += 1


def histogram_words(row: list[int], at: int, pool: int) -> tuple[list[int], float]:
    """(count in each bucket, sum in seconds) of one pool's histogram that starts at `at`."""
    start = at + pool * _HISTOGRAM_WORDS
    words = row[start : start + _HISTOGRAM_WORDS]
    return words[:-1], words[-1] / 1e6
