"""Dominant-resource fair share with decayed history: the tenant that has had least goes first.

A tenant's dominant share is the largest part that it holds of any resource (Ghodsi et al., NSDI 2011). What
it used in the past counts too and fades with a half-life, as in time-based fair share of KAI and Slurm: who
was idle yesterday is ahead today. Shares are divided by the tenant's weight. The queue is ranked by filling
progressively: the tenant of least share gives its next job and is charged for it, and so on; inside a tenant
it is priority, then first in, first out. Ties between tenants go by the oldest job, then the tenant's name.
Cost: one pass over running jobs, n log(tenants) for the queue.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.ordering_policy import ClusterView, Key
from steelyard.model.resources import RESOURCE_NAMES, Resources


@dataclass(slots=True)
class FairShare:
    """By the dominant share of a job's tenant.

    weights: tenant → its weight; 1 where none is given.
    half_life_s: time in which past use loses half of its weight; 0 looks at the present only.
    history_weight: how much an average share of 1 over the past half-life counts beside holding all now.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    half_life_s: float = 86_400.0
    history_weight: float = 1.0
    preemptive: bool = False
    _past: dict[str, tuple[dict[str, float], float]] = field(default_factory=dict)
    _capacity: Resources = field(default_factory=Resources)
    _shares: dict[str, float] = field(default_factory=dict)

    def observe_use(self, job: QueuedJob, ran_s: float, now_s: float) -> None:
        """Remember what a job held, as amount × seconds of each resource, fading."""
        used = self._faded(job.tenant, now_s)
        for name in RESOURCE_NAMES:
            amount = float(getattr(job.demand, name))
            if amount:
                used[name] = used.get(name, 0.0) + amount * ran_s
        self._past[job.tenant] = (used, now_s)

    def share(self, tenant: str) -> float:
        """The tenant's weighted share as of the last ranking."""
        return self._shares.get(tenant, 0.0)

    def queued_key(self, job: QueuedJob, now_s: float) -> Key:
        """The tenant's share as of the last ranking."""
        return (self.share(job.tenant),)

    def running_key(self, running: RunningJob, now_s: float) -> Key:
        """The tenant's share without this job: equals do not preempt each other."""
        part = _dominant(running.job.demand, self._capacity) / self._weight(running.job.tenant)
        return (self.share(running.job.tenant) - part,)

    def ranked(self, queue: Sequence[QueuedJob], view: ClusterView, now_s: float) -> list[QueuedJob]:
        """By progressive filling from what runs now."""
        self._capacity = view.capacity
        held = _held(view.running)
        tenants = {job.tenant for job in queue} | set(held) | set(self._past)
        past = {tenant: self._past_share(tenant, now_s) for tenant in tenants}
        self._shares = {
            tenant: (_dominant_of(held.get(tenant, {}), view.capacity) + past[tenant]) / self._weight(tenant)
            for tenant in sorted(tenants)
        }
        return self._filled(queue, held, past)

    def _filled(
        self, queue: Sequence[QueuedJob], held: dict[str, dict[str, float]], past: Mapping[str, float]
    ) -> list[QueuedJob]:
        waiting: dict[str, list[QueuedJob]] = {}
        for job in queue:
            waiting.setdefault(job.tenant, []).append(job)
        for jobs in waiting.values():
            jobs.sort(key=lambda job: (-job.priority, job.submitted_s, job.job_id), reverse=True)
        heap = [(self.share(tenant), jobs[-1].submitted_s, tenant) for tenant, jobs in waiting.items()]
        heapq.heapify(heap)
        order: list[QueuedJob] = []
        while heap:
            _, _, tenant = heapq.heappop(heap)
            jobs = waiting[tenant]
            order.append(jobs.pop())
            if jobs:
                used = held.setdefault(tenant, {})
                _add(used, order[-1].demand)
                share = (_dominant_of(used, self._capacity) + past[tenant]) / self._weight(tenant)
                heapq.heappush(heap, (share, jobs[-1].submitted_s, tenant))
        return order

    def _weight(self, tenant: str) -> float:
        return self.weights.get(tenant, 1.0)

    def _faded(self, tenant: str, now_s: float) -> dict[str, float]:
        used, at_s = self._past.get(tenant, ({}, now_s))
        keep = 0.5 ** ((now_s - at_s) / self.half_life_s) if self.half_life_s > 0 else 0.0
        return {name: amount_s * keep for name, amount_s in used.items()}

    def _past_share(self, tenant: str, now_s: float) -> float:
        """Mean share over the faded past: a constant share of 1 for ever gives `history_weight`."""
        if self.half_life_s <= 0:
            return 0.0
        share_s = _dominant_of(self._faded(tenant, now_s), self._capacity)
        return self.history_weight * share_s * math.log(2) / self.half_life_s


def _held(running: Sequence[RunningJob]) -> dict[str, dict[str, float]]:
    held: dict[str, dict[str, float]] = {}
    for each in running:
        _add(held.setdefault(each.job.tenant, {}), each.job.demand)
    return held


def _add(used: dict[str, float], demand: Resources) -> None:
    for name in RESOURCE_NAMES:
        amount = getattr(demand, name)
        if amount:
            used[name] = used.get(name, 0.0) + amount


def _dominant_of(used: Mapping[str, float], capacity: Resources) -> float:
    return max(
        (amount / whole for name, amount in used.items() if (whole := getattr(capacity, name)) > 0),
        default=0.0,
    )


def _dominant(demand: Resources, capacity: Resources) -> float:
    used: dict[str, float] = {}
    _add(used, demand)
    return _dominant_of(used, capacity)
