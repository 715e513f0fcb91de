"""A circuit a pool: after failures in a row nobody is sent there, then one at a time, then all again.

Closed: traffic flows. Open: none does, for a time that doubles with each opening in a row. Half open: one
request at a time is let through as a probe; enough of them close the circuit, one failure opens it for
longer. A probe whose outcome never comes is given up after `probe_timeout_s`. After the pattern in
Nygard, Release It!, 2007. Cost: a comparison a request.
"""

import math


class Circuit:
    """One pool's circuit in one worker."""

    __slots__ = (
        "_failures",
        "_most",
        "_open_s",
        "_openings",
        "_options",
        "_probe_s",
        "_successes",
        "_until_s",
    )

    def __init__(
        self,
        *,
        failures: int = 5,
        open_s: float = 2.0,
        max_open_s: float = 60.0,
        probes: int = 2,
        probe_timeout_s: float = 30.0,
    ) -> None:
        self._options = (failures, probes, probe_timeout_s)
        self._open_s = open_s
        self._most = max_open_s
        self._failures = self._successes = self._openings = 0
        self._until_s = -math.inf  # open until then; after it half open, while `_openings` is not 0
        self._probe_s = -math.inf

    @property
    def closed(self) -> bool:
        """Whether all traffic flows."""
        return self._openings == 0

    def may_try(self, now_s: float) -> bool:
        """Whether a request may go there now. In a half-open circuit this takes the place of the probe."""
        if self._openings == 0:
            return True
        if now_s < self._until_s or now_s - self._probe_s < self._options[2]:
            return False
        self._probe_s = now_s
        return True

    def succeeded(self) -> None:
        """A request went well there."""
        self._failures = 0
        self._probe_s = -math.inf
        if self._openings:
            self._successes += 1
            if self._successes >= self._options[1]:
                self._openings = 0

    def failed(self, now_s: float) -> None:
        """A request failed there, by the pool's fault."""
        self._probe_s = -math.inf
        self._failures += 1
        if self._openings == 0 and self._failures < self._options[0]:
            return
        if self._openings and now_s < self._until_s:
            return  # sent before it opened: known already
        self._until_s = now_s + min(self._most, self._open_s * 2.0 ** min(self._openings, 30))
        self._openings += 1
        self._successes = 0
