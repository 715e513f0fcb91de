"""Moves of a round: what the rebalancing policy proposes, of jobs that may be moved."""

from collections.abc import Sequence

from steelyard.cluster.node_table import NodeTable
from steelyard.model.job import RunningJob
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.plan import Move


def planned_moves(
    running: Sequence[RunningJob], table: NodeTable, options: PlanOptions, now_s: float
) -> tuple[Move, ...]:
    """Proposals of the policy, if there is one, as moves."""
    if options.rebalancing is None:
        return ()
    movable = [each for each in running if each.job.preemptible and not each.stopping]
    return tuple(
        Move(
            job_id=each.job_id,
            task_id=each.task_id,
            from_node_id=each.from_node_id,
            to=each.to,
            gain_s=each.gain_s,
            cost_s=each.cost_s,
            reason=each.reason,
        )
        for each in options.rebalancing.proposals(movable, table, options.placement, now_s)
    )
