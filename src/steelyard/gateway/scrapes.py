"""The load that engines report of themselves, read by the supervisor from their metrics pages.

It reaches workers in the fleet table, as columns that a policy may read beside the ledger's: the ledger
knows what went through this gateway, the engine knows what came from elsewhere too. An engine that has
no such page, or one in no dialect we know, is asked seldom.
"""

from dataclasses import dataclass

from steelyard.config.schema import HealthOptions
from steelyard.engines.dialects import read_load
from steelyard.gateway.fleet_table import Row
from steelyard.gateway.probes import fetch
from steelyard.gateway.tls import NO_LINK, EngineLink
from steelyard.model.errors import UpstreamError

SELDOM_S = 30.0
GIVE_UP_AFTER = 3


@dataclass(slots=True)
class Scrape:
    """One replica's metrics page."""

    row: Row
    options: HealthOptions
    link: EngineLink = NO_LINK
    failures: int = 0

    async def run_once(self) -> bool:
        """Ask once; whether what the row says of the load changed."""
        replica, before = self.row.replica, self.row.load
        if replica is None:
            return False
        load = None
        try:
            url = replica.base_url + self.options.metrics_path
            status, body = await fetch(url, self.options.timeout_s, self.link)
            if status == 200:
                load = read_load(body.decode("utf-8", "replace"))
        except (OSError, TimeoutError, UpstreamError):
            pass  # whether the engine lives is the probes' question
        self.failures = 0 if load is not None else self.failures + 1
        # One page that came late says nothing; what was said long ago says less than nothing.
        if load is not None or self.failures >= GIVE_UP_AFTER:
            self.row.load = load
        return self.row.load != before

    @property
    def pause_s(self) -> float:
        """Seconds until it is asked again."""
        interval_s = self.options.metrics_interval_s
        return interval_s if self.failures < GIVE_UP_AFTER else max(SELDOM_S, interval_s)
