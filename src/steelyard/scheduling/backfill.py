"""The reservation of the first job that waits, and what may start without delaying it (EASY backfill).

The reservation says when the job will fit, by the expected ends of running jobs, and where. A later job may
start now if it ends before that time, or if it takes nothing that the reservation needs then. What is
needed is held by *ghosts*: on each node of the reservation, the part of it that the jobs ending there before
do not give back. Long jobs are placed beside the ghosts, short ones also in their place.
Source: EASY (Lifka, JSSPP 1995), with shapes in place of sums. Cost: log2(running) trials for the
reservation, one trial a candidate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from steelyard.cluster.node_table import NodeTable, Reservation
from steelyard.model.job import QueuedJob, RunningJob
from steelyard.model.placement_policy import WHOLE_GPU, Claim, Placement
from steelyard.model.resources import Resources
from steelyard.scheduling.gangs import GangRefusal, GangSearch, release

_GHOST = "\0ghost"


@dataclass(slots=True)
class Margin:
    """What the reservation needs on one node beyond what ends there before; below 0 where it is less."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    io: list[int] = field(default_factory=lambda: [0, 0, 0])
    devices: dict[int, int] = field(default_factory=dict)

    def add(self, reservation: Reservation, sign: int) -> None:
        """The reserved job takes (1), or somebody who is gone by then gives back (-1)."""
        self.cpu_milli += sign * reservation.demand.cpu_milli
        self.memory_bytes += sign * reservation.demand.memory_bytes
        for at, amount in enumerate(reservation.demand.io):
            self.io[at] += sign * amount
        for device in reservation.devices:
            self.devices[device] = self.devices.get(device, 0) + sign * reservation.share

    def raise_to(self, other: "Margin") -> None:
        """The greater of both, amount by amount; at least nothing."""
        self.cpu_milli = max(self.cpu_milli, other.cpu_milli)
        self.memory_bytes = max(self.memory_bytes, other.memory_bytes)
        self.io = [max(mine, theirs) for mine, theirs in zip(self.io, other.io, strict=True)]
        for device, share in other.devices.items():
            self.devices[device] = max(self.devices.get(device, 0), share)


@dataclass(slots=True)
class HeadReservation:
    """When and where the first job that waits will start.

    at_s: the expected time. margins: node → what it needs there of what is free now.
    """

    job: QueuedJob
    at_s: float
    places: Mapping[str, Placement]
    margins: dict[str, Margin]
    _ghosts: list[str] = field(default_factory=list)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that it needs, by name."""
        return tuple(sorted(self.margins))

    def fit_beside(
        self, job: QueuedJob, search: GangSearch, slow_nodes: tuple[str, ...], late_s: float
    ) -> Mapping[str, Placement] | GangRefusal:
        """Places for a later job, reserved, that do not delay this one; or why there are none.

        late_s: a time that the later job will most likely not exceed.
        """
        if self.ends_before(late_s, search.now_s):
            self.let_go(search.table)
            found = search.reserve(job, slow_nodes)
            if not isinstance(found, GangRefusal):
                self._lent_to(job, search.table, found)
            return found
        self.hold(search.table)
        # Ghosts hold amounts; what must not share a node with whom, they do not know.
        picky = any(claim.anti_affinity_keys for claim in (*job.claims, *self.job.claims))
        found = search.reserve(job, slow_nodes, self.nodes if picky else ())
        return replace(found, plain=False) if isinstance(found, GangRefusal) else found

    def ends_before(self, late_s: float, now_s: float) -> bool:
        """Whether a job that starts now and runs for `late_s` is gone in time."""
        return now_s + late_s <= self.at_s

    def hold(self, table: NodeTable) -> None:
        """Reserve the ghosts, if they are not."""
        if self._ghosts:
            return
        for node_id in self.nodes:
            self._ghosts += ghosts(table, node_id, self.margins[node_id])

    def let_go(self, table: NodeTable) -> None:
        """Release the ghosts."""
        release(table, self._ghosts)
        self._ghosts.clear()

    def _lent_to(self, job: QueuedJob, table: NodeTable, places: Mapping[str, Placement]) -> None:
        """A job that ends in time was placed: what it takes now, it gives back before."""
        for task_id, place in places.items():
            margin = self.margins.get(place.node_id)
            if margin is not None and task_id not in job.kept:
                margin.add(table.reservations[task_id], -1)


def ghosts(table: NodeTable, node_id: str, margin: Margin) -> list[str]:
    """Reserve what a margin says, as far as it is free; the names to release it by."""
    row = table.row_of[node_id]
    names: list[str] = []

    def hold(amounts: Resources, devices: tuple[int, ...]) -> None:
        task_id = f"{_GHOST}/{node_id}/{devices}"
        table.reserve(Placement(node_id, devices, 0.0, "ghost"), Claim(task_id=task_id, demand=amounts))
        names.append(task_id)

    # Where a job outlived its time, less is free than was counted on.
    read, write, network = (
        max(0, min(wanted, free)) for wanted, free in zip(margin.io, table.io_free[row], strict=True)
    )
    amounts = Resources(
        cpu_cores=max(0, min(margin.cpu_milli, table.cpu_free[row])) / 1000,
        memory_bytes=max(0, min(margin.memory_bytes, table.memory_free[row])),
        disk_read_bytes_per_s=read,
        disk_write_bytes_per_s=write,
        network_bytes_per_s=network,
    )
    hold(amounts, ())
    shares = {at: min(share, table.devices[row][at]) for at, share in sorted(margin.devices.items())}
    if whole := tuple(at for at, share in shares.items() if share >= WHOLE_GPU):
        hold(Resources(gpus=len(whole)), whole)
    for device, share in shares.items():
        if 0 < share < WHOLE_GPU:
            hold(Resources(gpus=share / WHOLE_GPU), (device,))
    return names


def reserve_head(
    job: QueuedJob,
    running: Sequence[RunningJob],
    search: GangSearch,
    ends_s: Callable[[RunningJob], float],
) -> HeadReservation | None:
    """The earliest expected time at which the job fits, and its places then; None if not even without the
    others. The table is left as it was.
    """
    table = search.table
    ends = sorted((ends_s(each), each.job_id, each) for each in running)
    mark = table.begin_trial()
    freed: list[Reservation] = []
    gone = _first_fit(job, ends, search, freed)
    places = search.reserve(job)
    found = None
    if not isinstance(places, GangRefusal):
        sought = {task_id: place for task_id, place in places.items() if task_id not in job.kept}
        at_s = max(ends[gone - 1][0] if gone else search.now_s, search.now_s)
        found = HeadReservation(job, at_s, sought, _margins(table, sought, freed))
    table.roll_back(mark)
    return found


def _first_fit(
    job: QueuedJob,
    ends: Sequence[tuple[float, str, RunningJob]],
    search: GangSearch,
    freed: list[Reservation],
) -> int:
    """How many must be gone until the job fits; those are released on the table and noted in `freed`.

    Gallops ahead, then halves: what did not suffice stays released, so each end is looked at about twice.
    """
    low, high, step = 0, len(ends), 1
    while low < high:
        middle = min(low + step - 1, (low + high) // 2)
        mark = search.table.begin_trial()
        more = _release(ends[low:middle], search.table)
        if isinstance(search.reserve(job), GangRefusal):
            search.table.accept()
            freed += more
            freed += _release(ends[middle : middle + 1], search.table)
            low, step = middle + 1, 2 * step
        else:
            search.table.roll_back(mark)
            high = middle
    return low


def _release(ends: Sequence[tuple[float, str, RunningJob]], table: NodeTable) -> list[Reservation]:
    return [
        table.release(task_id)
        for _, _, each in ends
        for task_id in each.placements
        if task_id in table.reservations
    ]


def _margins(
    table: NodeTable, places: Mapping[str, Placement], freed: Sequence[Reservation]
) -> dict[str, Margin]:
    margins: dict[str, Margin] = {}
    for task_id, place in places.items():
        margins.setdefault(place.node_id, Margin()).add(table.reservations[task_id], 1)
    for each in freed:
        margin = margins.get(each.node_id)
        if margin is not None:
            margin.add(each, -1)
    return margins
