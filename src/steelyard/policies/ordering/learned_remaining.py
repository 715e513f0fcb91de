"""Shortest expected time left by what was learned, running jobs included: SRTF without an oracle.

The time left of a job that has run for a is the mean of what jobs of its kind that ran as long took beyond a
(`policies.history`), times its GPUs. With heavy tails it grows as the job runs on, so the policy acts like
least attained service; where a kind of job always takes about as long, it falls, and the job is left in
peace. What is learned later reorders jobs that wait already, unlike `shortest`, which ranks by the
expectation that a job was submitted with. Source: SERPT (shortest expected remaining processing time), by
service as in QSSF of Helios (SC 2021). Keys are levels, `levels_a_doubling` for each doubling, so that
equals do not preempt each other; ties go by time of submission, then name. Cost: a table of means a group,
made anew when the group has grown by a tenth.
"""

from steelyard.policies.history import BOUNDS_S, Durations, bucket_span_s
from steelyard.policies.learned_levels import LearnedLevels


def learned_remaining(
    levels_a_doubling: float = 0.5, *, by_service: bool = True, preemptive: bool = True
) -> LearnedLevels:
    """By expected time left. by_service: times GPUs."""
    return LearnedLevels(
        means_left_s, by_service=by_service, levels_a_doubling=levels_a_doubling, preemptive=preemptive
    )


def means_left_s(group: Durations) -> list[float]:
    """Mean time left, by the bucket of time run; as long again where nobody ran as long."""
    means: list[float] = []
    for bucket in range(len(BOUNDS_S)):
        low_s, _ = bucket_span_s(bucket)
        mean_s, weight = group.left_s(low_s)
        means.append(mean_s if weight > 0 else low_s)
    return means
