"""How the planner plans: policies, and the few numbers that bound a round."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from steelyard.model.errors import ConfigError
from steelyard.model.job import QueuedJob
from steelyard.model.ordering_policy import OrderingPolicy
from steelyard.model.placement_policy import PlacementPolicy
from steelyard.model.rebalancing_policy import RebalancingPolicy
from steelyard.scheduling.quotas import Quota

BACKFILLS = ("easy", "conservative", "none", "greedy")
PREEMPTIONS = ("never", "ordering", "quota")


def nobody_slow(job: QueuedJob) -> tuple[str, ...]:
    """No node is known to be slow for any job."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """One planner's settings.

    backfill: "easy" lets later jobs start as long as the first that waits is not delayed; "conservative"
        as long as none of the first `promised_jobs` is, each of which is promised a time and places; "none"
        holds everybody behind it; "greedy" lets everybody start who fits, and large jobs may starve.
    backfill_depth: jobs tried behind the first that waits, as Slurm's bf_max_job_test.
    preemption: "ordering" lets jobs take the place of running ones that the ordering puts behind them, if it
        is preemptive; "quota" only takes back what a tenant lent; "never".
    min_run_s: a running job is left alone for so long after its start.
    max_preemptions: jobs stopped in a round.
    unknown_s: how long a job runs of which nobody knows.
    quotas: tenant → quota; a tenant without one may use what is idle.
    slow_nodes: nodes on which a job like this one ran long before; they are tried last (seed, section 4.3).
    rebalancing: what moves; None for nothing.
    explain: say why jobs wait; off where nobody reads it.
    """

    ordering: OrderingPolicy
    placement: PlacementPolicy
    backfill: str = "easy"
    backfill_depth: int = 500
    promised_jobs: int = 20
    preemption: str = "ordering"
    min_run_s: float = 60.0
    max_preemptions: int = 64
    unknown_s: float = 3600.0
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    slow_nodes: Callable[[QueuedJob], tuple[str, ...]] = nobody_slow
    rebalancing: RebalancingPolicy | None = None
    explain: bool = True

    def __post_init__(self) -> None:
        if self.backfill not in BACKFILLS:
            raise ConfigError(f"backfill is {self.backfill!r}: choose one of {', '.join(BACKFILLS)}")
        if self.preemption not in PREEMPTIONS:
            raise ConfigError(f"preemption is {self.preemption!r}: choose one of {', '.join(PREEMPTIONS)}")
        if min(self.backfill_depth, self.max_preemptions, self.promised_jobs) < 0:
            raise ConfigError(
                f"backfill_depth is {self.backfill_depth}, max_preemptions {self.max_preemptions} and "
                f"promised_jobs {self.promised_jobs}: all must be 0 or more"
            )
