"""Passive ejection: a replica that failed several requests in a row is left alone for a while.

Consecutive failures (lost connections, timeouts, 5xx; never 4xx) eject for a time that doubles with each
ejection in a row, up to a limit; never more than a set share of the pool at once. After Envoy's
outlier detection. A success in between clears the row. Cost: two dictionary look-ups a report, none a pick
while all is well.
"""

from dataclasses import dataclass


@dataclass
class _Record:
    failures: int = 0
    ejections: int = 0
    ejected_until_s: float = 0.0


class OutlierDetector:
    """One pool's replicas, by slot, in one worker."""

    def __init__(
        self,
        *,
        consecutive_failures: int = 3,
        base_ejection_s: float = 1.0,
        max_ejection_s: float = 60.0,
        max_ejected_fraction: float = 0.5,
    ) -> None:
        self._consecutive_failures = consecutive_failures
        self._base_ejection_s = base_ejection_s
        self._max_ejection_s = max_ejection_s
        self._max_ejected_fraction = max_ejected_fraction
        self._records: dict[int, _Record] = {}

    def succeeded(self, slot: int) -> bool:
        """Note a success; whether it ended a row of failures or ejections."""
        return self._records.pop(slot, None) is not None

    def failed(self, slot: int, pool_size: int, now_s: float) -> bool:
        """Note a failure; whether the replica is ejected by it."""
        record = self._records.setdefault(slot, _Record())
        record.failures += 1
        if record.failures < self._consecutive_failures or record.ejected_until_s > now_s:
            return False
        already = sum(other.ejected_until_s > now_s for other in self._records.values())
        # At least one may be ejected, however small the pool, as long as another one is left.
        if already + 1 > max(1, int(pool_size * self._max_ejected_fraction)) or pool_size < 2:
            return False
        record.ejected_until_s = now_s + min(
            self._max_ejection_s, self._base_ejection_s * 2**record.ejections
        )
        record.ejections = min(record.ejections + 1, 30)
        # One more failure after it came back ejects it again, for longer.
        record.failures = self._consecutive_failures - 1
        return True

    def ejected_until_s(self, slot: int) -> float:
        """When its ejection ends; 0 when it was not ejected."""
        record = self._records.get(slot)
        return record.ejected_until_s if record is not None else 0.0

    def forget(self, slot: int) -> None:
        """A slot has a new occupant."""
        self._records.pop(slot, None)
