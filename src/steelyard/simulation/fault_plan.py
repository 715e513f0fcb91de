"""What goes wrong in one simulated run, drawn from its seed: nothing else decides."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """Chances of a run. Some runs are calm, so that what works in a storm also works without one.

    loss, repetition, lateness: of each message; a late one takes up to `longest_delay_s`.
    disk_full, disk_lost: of each transaction.
    keep_jobs_s: after which jobs that ended are forgotten.
    crash_every_s, node_death_every_s: mean times between; 0 for never.
    """

    loss: float
    repetition: float
    lateness: float
    longest_delay_s: float
    disk_full: float
    disk_lost: float
    crash_every_s: float
    node_death_every_s: float
    keep_jobs_s: float

    @classmethod
    def draw(cls, rng: Random) -> "FaultPlan":
        """One run's."""
        storm = rng.choice((0.0, 0.3, 1.0, 1.0, 2.0))
        return cls(
            loss=0.05 * storm,
            repetition=0.08 * storm,
            lateness=0.05 * storm,
            longest_delay_s=rng.choice((1.0, 5.0, 20.0)),
            disk_full=0.02 * storm * rng.choice((0, 1)),
            disk_lost=0.005 * storm * rng.choice((0, 1)),
            crash_every_s=rng.choice((0.0, 6.0, 20.0)) / max(storm, 0.1),
            node_death_every_s=rng.choice((0.0, 10.0, 30.0)) / max(storm, 0.1),
            keep_jobs_s=rng.choice((1e9, 1e9, 2.0)),
        )
