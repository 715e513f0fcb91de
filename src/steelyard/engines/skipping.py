"""The batching model in virtual time, skipping over the steps in which nothing but decoding happens.

Between two changes (an arrival, a prompt under way, an answer that ends, a cache that is full) every step
of a batch is alike, so any number of them is one multiplication. What comes out is what
`virtual_time.TimedEngine` gives token by token, up to rounding (a test compares the two); only first tokens
and ends of answers are reported. Cost: linear in the batch a change, whatever the length of the answers.
"""

import math

import msgspec

from steelyard.engines.batching import BatchingEngine, Sequence, Step

_ROUNDING = 1e-9  # a step that ends a rounding error after `now_s` has ended


class Milestone(msgspec.Struct, frozen=True, gc=False):
    """A sequence got its first token, its last one, or both at once."""

    at_s: float
    sequence: Sequence
    first: bool
    finished: bool


class SkippingEngine:
    """One engine and its run of steps under way. Time never goes backwards.

    next_event_s: when something will happen that is worth reporting or may change the run; inf when idle.
    """

    __slots__ = ("_began_s", "_run", "_step", "batching", "next_event_s")

    def __init__(self, batching: BatchingEngine) -> None:
        self.batching = batching
        self.next_event_s = math.inf
        self._step: Step | None = None
        self._began_s = 0.0  # of the first step of the run
        self._run = 1  # steps alike that lie ahead

    def submit(self, sequence: Sequence, now_s: float) -> None:
        """Queue a sequence. Raises ValueError when it could never run, or when an event is overdue."""
        if now_s > self.next_event_s + _ROUNDING:
            raise ValueError(f"an event at {self.next_event_s} s is overdue: advance before {now_s} s")
        if self._run > 1:
            self._skip(now_s)
        self.batching.submit(sequence)
        if self._step is None:
            self._plan(now_s)
        else:
            # It may enter at the next border between two steps, so the run ends there.
            self._run = 1
            self.next_event_s = self._began_s + self._step.duration_s

    def cancel(self, sequence: Sequence, now_s: float) -> None:
        """Nobody waits for it any more. The step under way still takes its time, as on a GPU."""
        if self._run > 1:
            self._skip(now_s)
        self.batching.cancel(sequence)
        if self._step is not None:
            self._run = 1
            self.next_event_s = self._began_s + self._step.duration_s

    def advance(self, now_s: float) -> list[Milestone]:
        """All milestones until now, in order of time."""
        milestones: list[Milestone] = []
        while self._step is not None and self.next_event_s <= now_s + _ROUNDING:
            at_s = self.next_event_s
            if self._run > 1:
                self._began_s += (self._run - 1) * self._step.duration_s
                self.batching.decode_all(self._run - 1)
            for sequence in self.batching.finish_step(self._step):
                first = sequence.given_tokens == 1
                if first or sequence.finished:
                    milestones.append(Milestone(at_s, sequence, first, sequence.finished))
            self._plan(at_s)
        return milestones

    def _skip(self, now_s: float) -> None:
        """Do the steps of the run that have ended by now; the one under way stays ahead."""
        if self._step is None:
            return
        ended = int((now_s - self._began_s + _ROUNDING) / self._step.duration_s)
        ended = min(ended, self._run - 1)
        if ended > 0:
            self.batching.decode_all(ended)
            self._began_s += ended * self._step.duration_s
            self._run -= ended

    def _plan(self, at_s: float) -> None:
        step = self._step = self.batching.next_step()
        self._began_s = at_s
        if step is None:
            self.next_event_s = math.inf
            return
        # The last step of a run is done in full, so that ends and preemptions have one piece of code.
        self._run = self.batching.steps_alike() if not step.prefills else 1
        self.next_event_s = at_s + self._run * step.duration_s
