"""Quotas: what a tenant is promised, and what it may borrow while others do not need it.

A job within its tenant's quota goes before all jobs that would borrow, whatever the ordering says; a
borrower may be asked to leave when the owner comes back. Source: cohorts of Kueue (quota, borrowing,
reclaim), without its flavours. Amounts are compared, shapes are not: whether a job really fits is what
placement says, so a job is never "admitted" without a place (kueue#4329).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from steelyard.model.errors import ConfigError
from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.resources import RESOURCE_NAMES, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One tenant's.

    nominal: promised; a resource that is 0 here is not promised, but not forbidden either, unless listed in
        `limited`. Only resources in `limited` are counted.
    borrow: whether idle resources of others may be used beyond it.
    ceiling: never more than this, borrowing included; None for no ceiling.
    """

    nominal: Resources
    limited: tuple[str, ...] = ("gpus",)
    borrow: bool = True
    ceiling: Resources | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.limited) - set(RESOURCE_NAMES))
        if unknown:
            raise ConfigError(f"a quota limits {unknown[0]!r}: use one of {', '.join(RESOURCE_NAMES)}")


@dataclass(slots=True)
class QuotaBook:
    """What each tenant with a quota holds now."""

    quotas: Mapping[str, Quota]
    held: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, quotas: Mapping[str, Quota], running: Iterable[RunningJob], keepers: Iterable[QueuedJob] = ()
    ) -> "QuotaBook":
        """From the running jobs; looks at none when there are no quotas.

        keepers: gangs whose survivors keep places: they count whole, as they did while they ran.
        """
        book = cls(quotas)
        if quotas:
            for each in running:
                book.charge(each.job)
            for job in keepers:
                book.charge(job)
        return book

    def charge(self, job: QueuedJob, sign: int = 1) -> None:
        """A job starts (1) or leaves (-1)."""
        quota = self.quotas.get(job.tenant)
        if quota is not None:
            held, demand = self.held.setdefault(job.tenant, {}), job.demand
            for name in quota.limited:
                held[name] = held.get(name, 0.0) + sign * float(getattr(demand, name))

    def over(self, job: QueuedJob) -> tuple[str, float]:
        """(resource, amount) by which the job would pass its tenant's promise; ("", 0) when it would not."""
        quota = self.quotas.get(job.tenant)
        return ("", 0.0) if quota is None else self._beyond(job, quota.nominal, quota.limited)

    def forbidden(self, job: QueuedJob) -> tuple[str, float]:
        """(resource, amount) by which the job would pass what its tenant may have at most; ("", 0) if not."""
        quota = self.quotas.get(job.tenant)
        if quota is None:
            return ("", 0.0)
        if not quota.borrow:
            return self._beyond(job, quota.nominal, quota.limited)
        return ("", 0.0) if quota.ceiling is None else self._beyond(job, quota.ceiling, quota.limited)

    def borrows(self, job: QueuedJob) -> bool:
        """Whether the tenant of a running job holds more than it is promised."""
        quota = self.quotas.get(job.tenant)
        if quota is None:
            return True  # without a promise, all is borrowed
        held = self.held.get(job.tenant, {})
        return any(held.get(name, 0.0) > float(getattr(quota.nominal, name)) + 1e-9 for name in quota.limited)

    def _beyond(self, job: QueuedJob, most: Resources, limited: tuple[str, ...]) -> tuple[str, float]:
        held, demand = self.held.get(job.tenant, {}), job.demand
        for name in limited:
            wanted = float(getattr(demand, name))
            excess = held.get(name, 0.0) + wanted - float(getattr(most, name))
            if wanted > 0 and excess > 1e-9:
                return name, excess
        return "", 0.0
