"""What a worker counts, and where: a fixed layout of words in its counter row of the shared page.

Every label has a bound: pools come from the configuration, replicas from slots, statuses are five
classes. Words only grow. Sums of seconds are kept in microseconds. Cost: 0.7 µs a request.
"""

from array import array
from collections.abc import Callable
from typing import Final

from steelyard.model.request import Request
from steelyard.runtime.page import MAX_SLOTS, SharedPage

MAX_POOLS: Final = 32
STATUS_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx", "left")
LEFT: Final = 5  # a client that went away: 499, counted by itself
OUTCOMES: Final = ("ok", "client_error", "server_error")
# Written as numbers, and checked by a test: so they cost nothing when compiled.
STATUS_CLASSES_COUNT: Final = 6
OUTCOMES_COUNT: Final = 3

TTFT_BOUNDS_S: Final[tuple[float, ...]] = (
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
TOTAL_BOUNDS_S: Final[tuple[float, ...]] = (
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
# Tokens of a prompt or an answer, in powers of two: a bucket is a number of bits, so none has to be sought.
TOKEN_BOUNDS: Final[tuple[float, ...]] = (
    1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072,
    262_144, 524_288,
)  # fmt: skip
TPOT_BOUNDS_S: Final[tuple[float, ...]] = (
    0.0025, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1,
    2.5, 5,
)  # fmt: skip
HISTOGRAM_WORDS: Final = 22  # a bucket for each bound, one above the last, and the sum
_SUM: Final = HISTOGRAM_WORDS - 1

PLAIN: Final = (
    "retries",
    "cut_streams",
    "connections_refused",
    "malformed_requests",
    "access_log_dropped",
    "stream_continuations",
    "kv_event_batches",
    "kv_event_gaps",
    "kv_event_losses",
)
WASTED: Final = ("continued", "replayed", "cut", "left")  # why tokens were computed twice, or for nobody
# Where each table begins in the row, behind the plain counters.
POOLS_AT: Final = 9
REPLICAS_AT: Final = POOLS_AT + MAX_POOLS * STATUS_CLASSES_COUNT
TTFT_AT: Final = REPLICAS_AT + MAX_SLOTS * OUTCOMES_COUNT
TOTAL_AT: Final = TTFT_AT + MAX_POOLS * HISTOGRAM_WORDS
WASTED_AT: Final = TOTAL_AT + MAX_POOLS * HISTOGRAM_WORDS
PROMPT_AT: Final = WASTED_AT + 4
OUTPUT_AT: Final = PROMPT_AT + MAX_POOLS * HISTOGRAM_WORDS
TPOT_AT: Final = OUTPUT_AT + MAX_POOLS * HISTOGRAM_WORDS
_RETRIES, _CUT, _REFUSED, _MALFORMED, _LOG_DROPPED, _CONTINUED, _KV_BATCHES, _KV_GAPS, _KV_LOSSES = range(
    len(PLAIN)
)


# What a status counts as: (class, outcome of the replica).
_CLASSES: Final = {
    status: (status // 100 - 1 if status != 499 else LEFT, 0 if status < 400 else 1 if status < 500 else 2)
    for status in range(100, 600)
}


def _bucket(bounds: tuple[float, ...], value: float) -> int:
    """The first bucket whose bound is not below. Most are among the first: a walk beats a bisection."""
    for bucket in range(len(bounds)):
        if value <= bounds[bucket]:
            return bucket
    return len(bounds)


def token_bucket(tokens: int) -> int:
    """The first bucket of `TOKEN_BOUNDS` whose bound is not below."""
    return 0 if tokens < 2 else min((tokens - 1).bit_length(), len(TOKEN_BOUNDS))


class Meters:
    """One worker's counters: counted in a list, written to the shared row about a millisecond later.

    schedule: calls the function that it is given about a millisecond later.
    """

    __slots__ = ("_pools", "_row", "_schedule", "_slots", "_words")

    def __init__(
        self, page: SharedPage, worker: int, schedule: Callable[[Callable[[], None]], object]
    ) -> None:
        self._row = page.counter_row(worker)
        self._words: list[int] = (
            self._row.tolist()
        )  # a worker goes on where the one before it in its place stopped
        self._schedule = schedule
        self._pools: set[int] = set()
        self._slots: set[int] = set()

    def request_finished(self, pool: int, slot: int, status: int, ttft_s: float, total_s: float) -> None:
        """A request ended.

        pool: its index; slot: -1 when no replica was picked; ttft_s: 0 for an answer that came in one piece.
        """
        if pool >= MAX_POOLS:
            return
        words = self._words
        status_class, outcome = _CLASSES.get(status, (4, 2))
        words[POOLS_AT + pool * STATUS_CLASSES_COUNT + status_class] += 1
        at = TOTAL_AT + pool * HISTOGRAM_WORDS
        words[at + _bucket(TOTAL_BOUNDS_S, total_s)] += 1
        words[at + _SUM] += int(total_s * 1e6)
        if slot >= 0:
            words[REPLICAS_AT + slot * OUTCOMES_COUNT + outcome] += 1
            self._slots.add(slot)
        if ttft_s:
            at = TTFT_AT + pool * HISTOGRAM_WORDS
            words[at + _bucket(TTFT_BOUNDS_S, ttft_s)] += 1
            words[at + _SUM] += int(ttft_s * 1e6)
        first = not self._pools
        self._pools.add(pool)
        if first:
            self._schedule(self.publish)

    def answered(self, pool: int, request: Request, output_tokens: int, first_s: float, now_s: float) -> None:
        """An answer of so many tokens ended. first_s: when it began; 0 for one that came in one piece."""
        if pool >= MAX_POOLS:
            return
        words = self._words
        at = PROMPT_AT + pool * HISTOGRAM_WORDS
        words[at + token_bucket(request.prompt_tokens)] += 1
        words[at + _SUM] += request.prompt_tokens
        at = OUTPUT_AT + pool * HISTOGRAM_WORDS
        words[at + token_bucket(output_tokens)] += 1
        words[at + _SUM] += output_tokens
        if first_s and request.streams and output_tokens > 1:
            tpot_s = (now_s - first_s) / (output_tokens - 1)
            at = TPOT_AT + pool * HISTOGRAM_WORDS
            words[at + _bucket(TPOT_BOUNDS_S, tpot_s)] += 1
            words[at + _SUM] += int(tpot_s * 1e6)

    def publish(self) -> None:
        """Write what changed to the row that the supervisor reads."""
        for pool in self._pools:
            self._copy(POOLS_AT + pool * STATUS_CLASSES_COUNT, STATUS_CLASSES_COUNT)
            self._copy(TOTAL_AT + pool * HISTOGRAM_WORDS, HISTOGRAM_WORDS)
            for at in (TTFT_AT, PROMPT_AT, OUTPUT_AT, TPOT_AT):
                self._copy(at + pool * HISTOGRAM_WORDS, HISTOGRAM_WORDS)
        for slot in self._slots:
            self._copy(REPLICAS_AT + slot * OUTCOMES_COUNT, OUTCOMES_COUNT)
        self._pools.clear()
        self._slots.clear()

    def _copy(self, start: int, count: int) -> None:
        self._row[start : start + count] = memoryview(array("q", self._words[start : start + count]))

    def _count(self, at: int) -> None:
        self._words[at] += 1
        self._row[at] = self._words[at]

    def retry(self) -> None:
        """A request goes to another replica."""
        self._count(_RETRIES)

    def cut_stream(self) -> None:
        """An engine was lost in the middle of an answer."""
        self._count(_CUT)

    def stream_continued(self) -> None:
        """Another engine is asked to go on with an answer."""
        self._count(_CONTINUED)

    def wasted(self, cause: str, tokens: int) -> None:
        """Tokens were computed twice or for nobody. cause: one of `WASTED`."""
        at = WASTED_AT + WASTED.index(cause)
        self._words[at] += tokens
        self._row[at] = self._words[at]

    def kv_events(self, batches: int, gaps: int, losses: int) -> None:
        """So many more batches of cache events were heard, were missing, were lost for good."""
        for at, count in ((_KV_BATCHES, batches), (_KV_GAPS, gaps), (_KV_LOSSES, losses)):
            self._words[at] += count
            self._row[at] = self._words[at]

    def client_error(self, status: int) -> None:
        """A connection was refused (503) or sent what is no request."""
        self._count(_REFUSED if status == 503 else _MALFORMED)

    def log_dropped(self) -> None:
        """A line of the access log could not be written."""
        self._count(_LOG_DROPPED)


def histogram_words(row: list[int], at: int, pool: int) -> tuple[list[int], int]:
    """(count in each bucket, sum) of one pool's histogram that starts at `at`: in tokens or microseconds."""
    start = at + pool * HISTOGRAM_WORDS
    words = row[start : start + HISTOGRAM_WORDS]
    return words[:-1], words[-1]
