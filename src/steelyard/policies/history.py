"""What past runs teach: how long jobs like this one take, and on which nodes they take longer.

Durations are kept for the groups (user, name, GPUs), (user, GPUs), (user), (GPUs) and all jobs; the first
group with enough ends answers, its mean drawn towards the next wider group's by a few imagined samples. A
group is a histogram over logarithmic time, so quantiles and the time left of a job that has run for a while
come at once, memory is bounded, and old ends fade. Nothing is known before a job has ended: `observe` is the
only way in.
Source: the hierarchical means of Alibaba PAI's SJG study (NSDI 2022) and of Helios' QSSF (SC 2021), with
quantiles. Cost: an end touches five groups; a prediction reads one or two.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, field

BUCKETS_A_DOUBLING = 2
MAX_DURATION_LOG2 = 26  # two years
BOUNDS_S: tuple[float, ...] = tuple(
    2 ** (at / BUCKETS_A_DOUBLING) for at in range(MAX_DURATION_LOG2 * BUCKETS_A_DOUBLING)
)
"""Upper ends of the buckets; the first holds what takes a second or less."""

GroupKey = tuple[str, str, str, float]
MAX_GROUPS = 50_000
MAX_ASKED = 1_000  # answers kept until the next end: a queue is full of jobs that are alike


def bucket_of(duration_s: float) -> int:
    """Index of the bucket that holds a duration."""
    return min(bisect_right(BOUNDS_S, duration_s), len(BOUNDS_S) - 1)


def bucket_span_s(bucket: int) -> tuple[float, float]:
    """Lower and upper end."""
    return (BOUNDS_S[bucket - 1] if bucket else 0.0), BOUNDS_S[bucket]


@dataclass(frozen=True, slots=True)
class Prediction:
    """How long a job will still run.

    samples: ends that this rests on; 0 when nothing is known, with `expected_s` what was assumed.
    group: which group answered: "user, name, GPUs", "user, GPUs", "user", "GPUs", "all" or "nothing".
    """

    expected_s: float
    median_s: float
    late_s: float
    samples: float
    group: str


@dataclass(slots=True)
class Durations:
    """Ends of one group, by bucket. `version` grows with each."""

    counts: list[float] = field(default_factory=lambda: [0.0] * len(BOUNDS_S))
    sums_s: list[float] = field(default_factory=lambda: [0.0] * len(BOUNDS_S))
    samples: float = 0.0
    version: int = 0

    def add(self, duration_s: float, weight: float) -> None:
        """Note an end. Weights grow with time rather than that old counts shrink."""
        bucket = bucket_of(duration_s)
        self.counts[bucket] += weight
        self.sums_s[bucket] += weight * duration_s
        self.samples += weight
        self.version += 1

    def scale(self, factor: float) -> None:
        """Make all counts smaller, before weights outgrow floating point."""
        self.counts = [count * factor for count in self.counts]
        self.sums_s = [total * factor for total in self.sums_s]
        self.samples *= factor

    def left_s(self, ran_s: float) -> tuple[float, float]:
        """(mean time left, weight it rests on) of jobs that ran at least `ran_s`."""
        first = bucket_of(ran_s)
        reached = self._reached(first, ran_s)
        weight = reached + sum(self.counts[first + 1 :])
        if weight <= 0:
            return 0.0, 0.0
        # Those that end inside the bucket end in the middle of what is left of it.
        inside_s = self.sums_s[first] if ran_s <= 0 else reached * (ran_s + BOUNDS_S[first]) / 2
        return max(0.0, (inside_s + sum(self.sums_s[first + 1 :])) / weight - ran_s), weight

    def quantile_left_s(self, ran_s: float, fraction: float) -> float:
        """The time left that this part of such jobs does not exceed; their bucket's upper end."""
        first = bucket_of(ran_s)
        so_far = self._reached(first, ran_s)
        weight = so_far + sum(self.counts[first + 1 :])
        for bucket in range(first, len(BOUNDS_S)):
            so_far += self.counts[bucket] if bucket > first else 0.0
            if so_far >= fraction * weight and so_far > 0:
                return max(0.0, BOUNDS_S[bucket] - ran_s)
        return 0.0

    def _reached(self, bucket: int, ran_s: float) -> float:
        """Weight of the bucket's ends that lie beyond `ran_s`, taken as evenly spread inside it."""
        low_s, high_s = bucket_span_s(bucket)
        return self.counts[bucket] * max(0.0, min(1.0, (high_s - ran_s) / (high_s - low_s)))


@dataclass(slots=True)
class DurationHistory:
    """Learns durations online.

    min_samples: ends that a group needs to answer for itself.
    pull_samples: imagined samples at the wider group's mean, against luck in small groups.
    half_life_s: age at which an end counts half.
    unknown_s: assumed before anything has ended.
    """

    min_samples: int = 3
    pull_samples: float = 2.0
    half_life_s: float = 14 * 86_400.0
    unknown_s: float = 3600.0
    late_fraction: float = 0.9
    groups: dict[GroupKey, Durations] = field(default_factory=dict)
    _weight_from_s: float = 0.0
    _asked: dict[tuple[str, str, float, float, float], Prediction] = field(default_factory=dict)

    def observe(self, user: str, name: str, gpus: float, duration_s: float, now_s: float) -> None:
        """A job ended after it had run for `duration_s` in all."""
        self._asked.clear()
        weight = self._weight(now_s)
        for _, key in keys(user, name, gpus):
            group = self.groups.get(key)
            if group is None:
                if len(self.groups) >= MAX_GROUPS:
                    self.groups.pop(next(iter(self.groups)))  # the oldest
                group = self.groups[key] = Durations()
            group.add(max(0.0, duration_s), weight)

    def predict(
        self, user: str, name: str, gpus: float, ran_s: float = 0.0, now_s: float = 0.0
    ) -> Prediction:
        """How long a job that has run for `ran_s` will still run."""
        asked = (user, name, gpus, ran_s, now_s)
        found = self._asked.get(asked)
        if found is None:
            if len(self._asked) >= MAX_ASKED:
                self._asked.clear()
            found = self._asked[asked] = self._predict(user, name, gpus, ran_s, now_s)
        return found

    def _predict(self, user: str, name: str, gpus: float, ran_s: float, now_s: float) -> Prediction:
        weight = self._weight(now_s)
        expected_s = 0.0
        found: tuple[str, Durations, float, float] | None = None
        for label, key in keys(user, name, gpus):
            group = self.groups.get(key)
            if group is None:
                continue
            mean_s, amount = group.left_s(ran_s)
            samples = amount / weight
            if found is None and samples > self.min_samples - 0.5:  # they have faded a little
                found = (label, group, mean_s, samples)
            elif found is not None and amount > 0:
                pull = self.pull_samples
                expected_s = (found[3] * found[2] + pull * mean_s) / (found[3] + pull)
                break
        if found is None:
            guess_s = max(self.unknown_s, ran_s)
            return Prediction(guess_s, guess_s, 2 * guess_s, 0.0, "nothing")
        label, group, mean_s, samples = found
        return Prediction(
            expected_s or mean_s,
            group.quantile_left_s(ran_s, 0.5),
            group.quantile_left_s(ran_s, self.late_fraction),
            samples,
            label,
        )

    def group_of(self, user: str, name: str, gpus: float) -> tuple[GroupKey, Durations] | None:
        """The narrowest group that has enough ends."""
        for _, key in keys(user, name, gpus):
            group = self.groups.get(key)
            if group is not None and group.version >= self.min_samples:
                return key, group
        return None

    def _weight(self, now_s: float) -> float:
        """Weight of an end at this time; all are scaled down when it gets large."""
        if self.half_life_s <= 0:
            return 1.0
        exponent = (now_s - self._weight_from_s) / self.half_life_s
        if exponent > 40:
            for group in self.groups.values():
                group.scale(2.0**-exponent)
            self._weight_from_s = now_s
            exponent = 0.0
        return float(2.0**exponent)


def keys(user: str, name: str, gpus: float) -> tuple[tuple[str, GroupKey], ...]:
    """The groups of a job, narrowest first."""
    return (
        ("user, name, GPUs", ("user, name, GPUs", user, name, gpus)),
        ("user, GPUs", ("user, GPUs", user, "", gpus)),
        ("user", ("user", user, "", 0.0)),
        ("GPUs", ("GPUs", "", "", gpus)),
        ("all", ("all", "", "", 0.0)),
    )


@dataclass(slots=True)
class NodeHistory:
    """Where a kind of job ran longer than elsewhere (the seed, section 4.3, third point).

    slower: how much longer than the others' mean makes a node slow for that kind.
    Means fade with `keep` an end, so that a repaired node is tried again.
    """

    slower: float = 1.25
    min_samples: int = 2
    keep: float = 0.8
    means_s: dict[tuple[str, str], dict[str, tuple[float, float]]] = field(default_factory=dict)

    def observe(self, user: str, name: str, node_id: str, duration_s: float) -> None:
        """A job, or a task, of this kind took this long on that node."""
        if len(self.means_s) >= MAX_GROUPS and (user, name) not in self.means_s:
            self.means_s.pop(next(iter(self.means_s)))
        nodes = self.means_s.setdefault((user, name), {})
        mean_s, samples = nodes.get(node_id, (0.0, 0.0))
        samples = samples * self.keep + 1
        nodes[node_id] = (mean_s + (duration_s - mean_s) / samples, samples)

    def slow_nodes(self, user: str, name: str) -> tuple[str, ...]:
        """Nodes to try last, by name; never all of them."""
        nodes = self.means_s.get((user, name), {})
        if len(nodes) < 2:
            return ()
        slow = [each for each in sorted(nodes) if self._slow(each, nodes)]
        return tuple(slow) if len(slow) < len(nodes) else ()

    def slowness(self, user: str, name: str, node_id: str) -> float:
        """Time on this node over the mean of the others'; 1 when not known."""
        nodes = self.means_s.get((user, name), {})
        others = [mean_s for each, (mean_s, _) in nodes.items() if each != node_id]
        if node_id not in nodes or not others:
            return 1.0
        elsewhere_s = math.fsum(others) / len(others)
        return nodes[node_id][0] / elsewhere_s if elsewhere_s > 0 else 1.0

    def _slow(self, node_id: str, nodes: dict[str, tuple[float, float]]) -> bool:
        mean_s, samples = nodes[node_id]
        others = [each_s for name, (each_s, _) in nodes.items() if name != node_id]
        # The second end on a node, faded by `keep`, weighs 1.8.
        enough = samples >= 1 + self.keep * (self.min_samples - 1) - 1e-9
        return enough and mean_s > self.slower * math.fsum(others) / len(others)
