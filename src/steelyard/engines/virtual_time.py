"""The batching model driven by events rather than by timers: what a simulator holds of an engine.

`BatchingEngine` plans a step and does it; this keeps when the step under way will end. A step begins
when the one before it ended, or when a sequence arrives at an idle engine. Ties: a sequence that comes at
the very moment a step ends is in time for the next one only if it is submitted before `advance`.
Cost: that of the steps advanced over.
"""

import math
from collections.abc import Iterator

import msgspec

from steelyard.engines.batching import BatchingEngine, Sequence, Step


class TokenGiven(msgspec.Struct, frozen=True, gc=False):
    """A sequence got a token.

    index: of the token, from 0; the first one is index 0 also after a preemption.
    """

    at_s: float
    sequence: Sequence
    index: int
    finished: bool

    @property
    def first(self) -> bool:
        """Whether it ends the wait for the first token."""
        return self.index == 0


class TimedEngine:
    """One engine and the end of its step under way. Time never goes backwards."""

    __slots__ = ("_step", "batching", "next_event_s")

    def __init__(self, batching: BatchingEngine) -> None:
        self.batching = batching
        self._step: Step | None = None
        self.next_event_s = math.inf  # when the step under way ends; inf for an idle engine

    def submit(self, sequence: Sequence, now_s: float) -> None:
        """Queue a sequence. Raises ValueError when it could never run, or when a step is overdue."""
        if now_s > self.next_event_s:
            raise ValueError(f"a step ended at {self.next_event_s} s: advance before submitting at {now_s} s")
        self.batching.submit(sequence)
        if self._step is None:
            self._begin(now_s)

    def cancel(self, sequence: Sequence) -> None:
        """Nobody waits for it any more. The step under way still takes its time, as on a GPU."""
        self.batching.cancel(sequence)

    def advance(self, now_s: float) -> list[TokenGiven]:
        """All tokens given until now, in order of time."""
        return list(self._events(now_s))

    def _events(self, now_s: float) -> Iterator[TokenGiven]:
        while self._step is not None and self.next_event_s <= now_s:
            at_s = self.next_event_s
            for sequence in self.batching.finish_step(self._step):
                yield TokenGiven(at_s, sequence, sequence.given_tokens - 1, sequence.finished)
            self._begin(at_s)

    def _begin(self, at_s: float) -> None:
        self._step = self.batching.next_step()
        self.next_event_s = math.inf if self._step is None else at_s + self._step.duration_s
