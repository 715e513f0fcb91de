"""Gittins' index over learned durations: who is likeliest to end soon for the service it still takes.

For a job that has run for a, the index is the greatest chance of ending within d more seconds, over the
expected seconds spent on that: max over d of P(S − a ≤ d | S > a) / E[min(S − a, d) | S > a], divided by the
job's GPUs. S comes from the ends seen so far of jobs like it (`policies.history`), nothing else: the index
of a job falls as it outlives the short ones of its kind, so a wrong guess costs little, since the running job
is preempted. With that the mean completion time is near the least possible when durations are only known in
distribution. Source: Gittins (1979); 2D-Gittins of Tiresias (NSDI 2019), here with the history online and per
kind of job. Keys are levels of the index, `levels_a_doubling` for each doubling, so that equals do not
preempt each other; ties go by time of submission, then name. Cost: a table of indices a group, made anew when
the group has grown by a tenth.
"""

from collections.abc import Sequence

from steelyard.policies.history import BOUNDS_S, Durations, bucket_span_s
from steelyard.policies.learned_levels import LearnedLevels


def learned_index(levels_a_doubling: float = 0.5, *, by_service: bool = True) -> LearnedLevels:
    """By index, best first. by_service: divide it by GPUs."""
    return LearnedLevels(index_costs_s, by_service=by_service, levels_a_doubling=levels_a_doubling)


def index_costs_s(group: Durations) -> list[float]:
    """1 / index for a job of this group, by the bucket that it has reached.

    Where a job outlives all that ended before, the hazard is taken to fall on: twice as long, half as likely.
    """
    # A trace of weight everywhere keeps the tail defined; it fades as real ends come.
    counts = [count + 1e-3 * group.samples / len(BOUNDS_S) for count in group.counts]
    return [_cost_s(counts, first) for first in range(len(BOUNDS_S))]


def _cost_s(counts: Sequence[float], first: int) -> float:
    alive = sum(counts[first:])
    ended, spent_s, best = 0.0, 0.0, 0.0
    for bucket in range(first, len(counts)):
        low_s, high_s = bucket_span_s(bucket)
        ending = counts[bucket]
        spent_s += (alive - ending / 2) * (high_s - low_s)
        ended += ending
        alive -= ending
        best = max(best, ended / spent_s)
    return 1.0 / best
