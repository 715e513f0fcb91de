"""What was, in rings of fixed size: a point a second of the whole, and each replica's changes of state."""

from collections import deque
from dataclasses import dataclass
from itertools import islice

KEPT_POINTS = 600
KEPT_CHANGES = 64
MAX_REPLICAS = 1024

SERIES = (
    "at_s",
    "requests_per_s",
    "goodput_per_s",
    "errors_per_s",
    "ttft_p50_s",
    "ttft_p95_s",
    "in_flight",
    "replica_balance",
    "node_balance",
)
Point = tuple[float | None, ...]


class Points:
    """The last points, each a value for every name in `SERIES`."""

    def __init__(self, kept: int = KEPT_POINTS) -> None:
        self._points: deque[Point] = deque(maxlen=kept)
        self.added = 0

    def add(self, point: Point) -> None:
        """One more; the oldest is forgotten when there are too many."""
        self._points.append(tuple(None if value is None else round(value, 6) for value in point))
        self.added += 1

    def since(self, added: int) -> list[Point]:
        """The points that came after so many were added, oldest first. Not by time: clocks are set back."""
        kept = len(self._points)
        return list(islice(self._points, max(0, kept - (self.added - added)), kept))


@dataclass(frozen=True, slots=True)
class Span:
    """A state from a time on, for so many seconds. Times are those that were noted, of one clock."""

    state: str
    from_s: float
    length_s: float


class StateHistory:
    """When replicas changed their state."""

    def __init__(self) -> None:
        self._changes: dict[str, deque[tuple[float, str]]] = {}

    def note(self, replica_id: str, state: str, now_s: float) -> None:
        """What a replica's state is now. now_s: monotonic."""
        changes = self._changes.get(replica_id)
        if changes is None:
            if len(self._changes) >= MAX_REPLICAS:
                del self._changes[next(iter(self._changes))]
            changes = self._changes[replica_id] = deque(maxlen=KEPT_CHANGES)
        if not changes or changes[-1][1] != state:
            changes.append((now_s, state))

    def spans(self, replica_id: str, now_s: float, window_s: float) -> list[Span]:
        """Its states over the last `window_s` seconds, oldest first."""
        changes = list(self._changes.get(replica_id, ()))
        if not changes:
            return []
        ends = [*(at_s for at_s, _ in changes[1:]), now_s]
        spans = []
        for (at_s, state), end_s in zip(changes, ends, strict=True):
            begin_s = max(at_s, now_s - window_s)
            if end_s > begin_s:
                spans.append(Span(state, begin_s, end_s - begin_s))
        return spans

    def changes(self, replica_id: str) -> int:
        """How often it changed, as far as is remembered."""
        return max(0, len(self._changes.get(replica_id, ())) - 1)
