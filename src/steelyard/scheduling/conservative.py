"""A promise for each of the first jobs that wait, and starts that break none (conservative backfill).

A promise is a time and places, found in order: the earliest time from which a job fits for as long as it
will most likely run, beside what runs then and all promises made before. Where an earlier round made one, it
stays a candidate, so that a promise is kept or bettered as long as running jobs end when they are expected
to; an urgent newcomer waits for those that were promised before it came. A job starts when its time is now.
Between events what is taken only falls, so times at which something ends are the only candidates; beyond
`MAX_TIMES` of them some are left out, which may make a promise later, never wrong.
Source: conservative backfill (Feitelson and Weil, IPPS 1998), with shapes in place of sums, on the margins
of `backfill`. Ties are the placement policy's. Cost: a trial a candidate time for each promised job, a look
at the promises on each node they touch.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from steelyard.cluster.node_table import NodeTable, Reservation
from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.placement_policy import Placement
from steelyard.scheduling.backfill import Margin, ghosts
from steelyard.scheduling.gangs import GangRefusal, GangSearch, release

MAX_TIMES = 100


@dataclass(frozen=True, slots=True)
class Promise:
    """From when to when a job will hold what."""

    job_id: str
    start_s: float
    end_s: float
    held: tuple[Reservation, ...]


@dataclass(frozen=True, slots=True)
class _Occupant:
    """A running job: until when it holds its places."""

    end_s: float
    job_id: str
    task_ids: tuple[str, ...]


class PromiseBook:
    """One round's."""

    def __init__(
        self, search: GangSearch, running: Iterable[tuple[float, RunningJob]], promises: Iterable[Promise]
    ) -> None:
        """running: with the expected end of each; promises: of earlier rounds, of jobs that still wait."""
        self._search = search
        self._running = sorted(
            (_Occupant(end_s, each.job_id, tuple(each.placements)) for end_s, each in running),
            key=lambda each: (each.end_s, each.job_id),
        )
        self.promises = {each.job_id: each for each in promises}

    @property
    def _table(self) -> NodeTable:
        return self._search.table

    def start(
        self, job: QueuedJob, slow_nodes: tuple[str, ...], late_s: float
    ) -> Mapping[str, Placement] | GangRefusal:
        """Places from now on for `late_s`, reserved, that break no other job's promise; or why not."""
        now_s = self._search.now_s
        own = self.promises.pop(job.job_id, None)
        held = self._hold(now_s, now_s + late_s)
        found = self._search.reserve(job, slow_nodes)
        release(self._table, held)
        if not isinstance(found, GangRefusal):
            self.began(job, now_s + late_s)
            return found
        if own is not None:
            self.promises[job.job_id] = own
        return replace(found, plain=not held and found.plain)

    def began(self, job: QueuedJob, end_s: float) -> None:
        """It holds its places now, until then."""
        self.promises.pop(job.job_id, None)
        self._running.append(_Occupant(end_s, job.job_id, tuple(claim.task_id for claim in job.claims)))
        self._running.sort(key=lambda each: (each.end_s, each.job_id))

    def left(self, job_ids: Sequence[str]) -> None:
        """These running jobs give up their places now."""
        self._running = [each for each in self._running if each.job_id not in job_ids]

    def promise(self, job: QueuedJob, late_s: float) -> Promise | None:
        """The earliest time for the job, kept for it from now on; None when it never fits."""
        own = self.promises.pop(job.job_id, None)
        table, now_s = self._table, self._search.now_s
        mark = table.begin_trial()
        at, made = 0, None
        for start_s in self._times(own):
            while at < len(self._running) and self._running[at].end_s <= start_s and start_s > now_s:
                release(table, self._running[at].task_ids)
                at += 1
            held = self._hold(start_s, start_s + late_s)
            found = self._search.reserve(job)
            if not isinstance(found, GangRefusal):
                taken = tuple(table.reservations[task_id] for task_id in found if task_id not in job.kept)
                made = Promise(job.job_id, start_s, start_s + late_s, taken)
                break
            release(table, held)
        table.roll_back(mark)
        if made is not None:
            self.promises[job.job_id] = made
        return made

    def hold_all(self) -> list[str]:
        """Keep everybody off what is promised; the names to release it by."""
        return self._hold(self._search.now_s, float("inf"))

    def _times(self, own: Promise | None) -> list[float]:
        """When to look, in order: now, and whenever somebody leaves."""
        now_s = self._search.now_s
        ends = {each.end_s for each in self._running} | {each.end_s for each in self.promises.values()}
        times = sorted(end_s for end_s in ends if end_s > now_s)
        if len(times) > MAX_TIMES:
            step = -(-len(times) // MAX_TIMES)
            times = [*times[step - 1 :: step], times[-1]]
        if own is not None and own.start_s > now_s:
            times.append(own.start_s)
        return sorted({now_s, *times})

    def _hold(self, start_s: float, end_s: float) -> list[str]:
        """Reserve what the promises need from `start_s` to `end_s` beyond what runs at `start_s`."""
        by_node: dict[str, list[tuple[float, float, Reservation]]] = {}
        for promise in self.promises.values():
            if promise.start_s < end_s and promise.end_s > start_s:
                for taken in promise.held:
                    entry = (promise.start_s, promise.end_s, taken)
                    by_node.setdefault(taken.node_id, []).append(entry)
        if not by_node:
            return []
        leaving = self._leaving(start_s, end_s, by_node)
        names: list[str] = []
        for node_id in sorted(by_node):
            if node_id in self._table.row_of:
                peak = _peak(by_node[node_id], leaving.get(node_id, ()), start_s)
                names += ghosts(self._table, node_id, peak)
        return names

    def _leaving(
        self, start_s: float, end_s: float, nodes: Mapping[str, object]
    ) -> dict[str, list[tuple[float, Reservation]]]:
        """What running jobs give back on these nodes in that time, by node."""
        leaving: dict[str, list[tuple[float, Reservation]]] = {}
        for each in self._running:
            if start_s < each.end_s < end_s:
                for task_id in each.task_ids:
                    held = self._table.reservations.get(task_id)
                    if held is not None and held.node_id in nodes:
                        leaving.setdefault(held.node_id, []).append((each.end_s, held))
        return leaving


def still_valid(promises: Iterable[Promise], waiting: Container[str], now_s: float) -> list[Promise]:
    """Promises of earlier rounds that hold others off.

    One whose time is over does not: it was counted on somebody who stays longer. Its job is looked at first.
    """
    return [each for each in promises if each.job_id in waiting and each.start_s >= now_s]


def due_first(
    ordered: Iterable[QueuedJob], waiting: Mapping[str, QueuedJob], promises: Iterable[Promise], now_s: float
) -> Iterator[QueuedJob]:
    """Those whose promised time has come before all others: else they would be passed for ever."""
    due = sorted(
        (each.start_s, each.job_id) for each in promises if each.start_s <= now_s and each.job_id in waiting
    )
    first = dict.fromkeys(job_id for _, job_id in due)
    yield from (waiting[job_id] for job_id in first)
    yield from (job for job in ordered if job.job_id not in first)


def _peak(
    promised: Sequence[tuple[float, float, Reservation]],
    leaving: Sequence[tuple[float, Reservation]],
    start_s: float,
) -> Margin:
    """The most that is promised on one node at any time, beyond what those that leave give back before."""
    peak = Margin()
    for at_s in sorted({max(start_s, begin_s) for begin_s, _, _ in promised}):
        now = Margin()
        for begin_s, end_s, taken in promised:
            if begin_s <= at_s < end_s:
                now.add(taken, 1)
        for left_s, held in leaving:
            if left_s <= at_s:
                now.add(held, -1)
        peak.raise_to(now)
    return peak
