"""Counters that only grow, turned into rates."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Rates:
    """Rates of named counters between two readings."""

    _before: dict[str, float] = field(default_factory=dict)
    _before_s: float | None = None

    def update(self, counters: dict[str, float], now_s: float) -> dict[str, float]:
        """A second's growth of each counter since the last call; 0 at first and where one shrank.

        A counter shrinks when a disk or an interface left, or wrapped: no rate is better than a
        wrong one.
        """
        elapsed_s = now_s - self._before_s if self._before_s is not None else 0.0
        rates = {
            name: max(0.0, value - self._before.get(name, value)) / elapsed_s if elapsed_s > 0 else 0.0
            for name, value in counters.items()
        }
        if elapsed_s > 0 or self._before_s is None:
            self._before, self._before_s = dict(counters), now_s
        return rates
