"""What runs of one policy over several seeds amount to."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from steelyard.model.metrics import balance_degree, utilisation
from steelyard.simulation.placement_run import PlacementRun, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementReport:
    """Means over seeds; shares of capacity in percent.

    allocated: at the end of each run. allocated_deviation: its standard deviation over seeds (population).
    allocated_at_100: when as much had been asked for as there is. mean_allocated: over all arrivals.
    refused_percent: of what was asked for. utilisation, balance_degree: the seed's, over nodes, of the first.
    refusals: tasks by the reason that ruled out most nodes. placements_per_s: of one core.
    """

    policy: str
    seeds: int
    arrivals: float
    allocated: float
    allocated_deviation: float
    allocated_at_100: float
    mean_allocated: float
    fragmented: float
    refused: float
    refused_percent: float
    utilisation: float
    balance_degree: float
    placements_per_s: float
    refusals: dict[str, int]
    model_used: dict[str, float]

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def summarise_placement(policy: str, runs: Sequence[PlacementRun], process_s: float) -> PlacementReport:
    """Sum up. process_s: the time that all runs took. Raises ValueError without runs."""
    if not runs:
        raise ValueError("there are no runs to sum up")
    allocated = [100 * run.allocated for run in runs]
    refusals: Counter[str] = sum((run.refusals for run in runs), Counter())
    return PlacementReport(
        policy=policy,
        seeds=len(runs),
        arrivals=statistics.fmean(run.arrivals for run in runs),
        allocated=statistics.fmean(allocated),
        allocated_deviation=statistics.pstdev(allocated),
        allocated_at_100=100 * statistics.fmean(run.allocated_at(1.0) for run in runs),
        mean_allocated=100 * statistics.fmean(run.mean_allocated for run in runs),
        fragmented=100 * statistics.fmean(run.fragmented for run in runs),
        refused=statistics.fmean(run.refused for run in runs),
        refused_percent=100 * statistics.fmean(run.refused_share for run in runs),
        utilisation=utilisation(runs[0].node_used),
        balance_degree=balance_degree(runs[0].node_used),
        placements_per_s=sum(run.arrivals for run in runs) / process_s if process_s > 0 else 0.0,
        refusals=dict(refusals.most_common()),
        model_used={model: 100 * share for model, share in runs[0].model_used.items()},
    )


def mean_curve(runs: Sequence[PlacementRun]) -> list[Sample]:
    """The runs' curves, point by point, as far as the shortest goes."""
    length = min(len(run.curve) for run in runs)
    return [
        Sample(
            statistics.fmean(run.curve[at].arrived for run in runs),
            statistics.fmean(run.curve[at].allocated for run in runs),
            statistics.fmean(run.curve[at].fragmented for run in runs),
        )
        for at in range(length)
    ]
