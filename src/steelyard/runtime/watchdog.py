"""Which workers' event loops have stopped turning.

Every worker counts up a word each time it sweeps (`questions.QuestionBoard.beat`); whoever watches sees the
word stand still. Only the time that the watcher itself was awake counts, a look at a time: when a whole
machine is stopped, suspended or overloaded, the watcher misses its looks as the workers miss their beats, and
nobody is blamed. Cost: one dictionary look-up a worker and look.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LOOK_S = 0.25
NOTICE_S = 1.0  # five beats


@dataclass(slots=True)
class _Pulse:
    beats: int
    silent_s: float = 0.0


class Watchdog:
    """Watches processes by any key. timeout_s: silence after which one is given up."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._pulses: dict[int, _Pulse] = {}
        self._looked_s = 0.0

    def look(self, now_s: float, beats: Mapping[int, int]) -> list[int]:
        """Those that are given up now. beats: what each of them has counted; others are forgotten.

        Call it every `LOOK_S`. A process is given up once: it is expected to be gone at the next look.
        """
        passed_s = min(max(0.0, now_s - self._looked_s), 2 * LOOK_S)
        self._looked_s = now_s
        before, self._pulses = self._pulses, {}
        for key, count in beats.items():
            pulse = before.get(key)
            if pulse is None or pulse.beats != count:
                pulse = _Pulse(count)
            else:
                pulse.silent_s += passed_s
            self._pulses[key] = pulse
        late = [key for key, pulse in self._pulses.items() if pulse.silent_s >= self._timeout_s]
        for key in late:
            self._pulses[key].silent_s = float("-inf")
        return late

    @property
    def stalled(self) -> int:
        """How many have been silent for longer than any sound one is."""
        return sum(
            pulse.silent_s >= NOTICE_S or pulse.silent_s == float("-inf") for pulse in self._pulses.values()
        )
