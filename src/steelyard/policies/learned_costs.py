"""A figure for every kind of job and every time that it has run, kept up to date as jobs end.

What the figure is, a function of a group's ends says; tables of it are made anew when a group has grown by a
tenth, and `epoch` grows with each, so that a sorted queue knows when to sort again.
Cost: two look-ups a job; a table now and then.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from steelyard.model.job import QueuedJob
from steelyard.policies.history import DurationHistory, Durations, GroupKey, bucket_of, keys

Costs = Callable[[Durations], list[float]]
GROWTH = 1.1


@dataclass(slots=True)
class LearnedCosts:
    """Costs by group and bucket of time run.

    costs_of: group → cost for each bucket of time run, in seconds.
    """

    history: DurationHistory
    costs_of: Costs
    epoch: int = 0
    _tables: dict[GroupKey, tuple[int, list[float]]] = field(default_factory=dict)

    def observe_end(self, job: QueuedJob, ran_s: float, now_s: float) -> None:
        """A job ended well after `ran_s` seconds of work in all."""
        self.history.observe(job.user, job.name, job.gpus, ran_s, now_s)
        for _, key in keys(job.user, job.name, job.gpus):
            group = self.history.groups[key]
            made = self._tables.get(key)
            if group.version == self.history.min_samples or (made and group.version >= GROWTH * made[0]):
                self._tables[key] = (group.version, self.costs_of(group))
                self.epoch += 1

    def cost_s(self, job: QueuedJob, ran_s: float) -> float:
        """The cost of a job that has run for `ran_s`; as long again as it ran where nothing is known."""
        found = self.history.group_of(job.user, job.name, job.gpus)
        if found is None:
            return self.history.unknown_s + ran_s
        key, group = found
        if key not in self._tables:
            self._tables[key] = (group.version, self.costs_of(group))
        return self._tables[key][1][bucket_of(ran_s)]
