"""Why one job waits, asked at any time: what blocks it, how much is missing, and when it could start at best.

A round explains the jobs that it looked at; this explains any. "At best" leaves out jobs that go before it.
Cost: one trial, and a reservation.
"""

from collections.abc import Collection
from dataclasses import replace

from steelyard.cluster.node_table import NodeTable
from steelyard.model.job import QueuedJob, RunningJob
from steelyard.scheduling.backfill import reserve_head
from steelyard.scheduling.gangs import GangRefusal, GangSearch, fits_empty
from steelyard.scheduling.options import PlanOptions
from steelyard.scheduling.plan import Wait
from steelyard.scheduling.quotas import QuotaBook
from steelyard.scheduling.waits import never_fits, over_quota, too_little


def explain(
    job: QueuedJob,
    running: Collection[RunningJob],
    table: NodeTable,
    options: PlanOptions,
    now_s: float,
    behind: str = "",
) -> Wait:
    """Why `job` does not run. The table is left as it was.

    behind: the job that goes first, as the last plan said.
    """
    resource, missing = fits_empty(job.claims, table)
    if resource:
        return never_fits(job, resource, missing, table)
    book = QuotaBook.of(options.quotas, running)
    resource, excess = book.forbidden(job)
    if resource:
        return over_quota(job, resource, excess)
    search = GangSearch(table, options.placement, now_s)
    mark = table.begin_trial()
    found = search.reserve(job)
    table.roll_back(mark)
    if not isinstance(found, GangRefusal):
        return _next_in_line(job, book, behind, now_s)
    reservation = reserve_head(
        job, list(running), search, lambda each: now_s + each.remaining_s(now_s, options.unknown_s)
    )
    wait = too_little(job, found, table, behind, reservation.at_s if reservation else None)
    return replace(wait, sentence=wait.sentence + _kept(job, now_s)) if job.kept else wait


def _kept(job: QueuedJob, now_s: float) -> str:
    count, left_s = len(job.kept), max(0.0, job.kept_until_s - now_s)
    places = "1 place is" if count == 1 else f"{count} places are"
    return f"; {places} kept for it for another {left_s:.3g} s"


def _next_in_line(job: QueuedJob, book: QuotaBook, behind: str, now_s: float) -> Wait:
    """There is room, but somebody goes first, or is about to."""
    resource, excess = book.over(job)
    if resource:
        return over_quota(job, resource, excess)
    who = f"job {behind!r} goes first and would be delayed" if behind else "it starts in the next round"
    return Wait(
        reason="order",
        sentence=f"there is room now, but {who}" if behind else who,
        behind=behind,
        feasible_s=now_s,
    )
