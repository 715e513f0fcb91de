"""All or nothing: a place for every task of a job, or for none.

Large tasks are placed first, since they have the fewest places. A gang that fails leaves no trace in the
table, so two gangs can never hold parts of what each other needs. Survivors of a failed gang may keep their
places (`QueuedJob.kept`); then only the others are sought. The node that stands ready for a job is tried
first after a failure; nodes on which its like ran long are tried last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from steelyard.cluster.node_table import NodeTable
from steelyard.model.job import QueuedJob
from steelyard.model.placement_policy import Claim, Demand, Placement, PlacementPolicy, Refusal, demand_of


@dataclass(frozen=True, slots=True)
class GangRefusal:
    """Why a gang does not fit.

    claim: of the task that found no place; missing_tasks: how many found none.
    plain: nothing but what is reserved is in the way; else a reservation of somebody who goes first.
    """

    claim: Claim
    missing_tasks: int
    refusal: Refusal
    plain: bool = True


@dataclass(frozen=True, slots=True)
class GangSearch:
    """How to look for places."""

    table: NodeTable
    placement: PlacementPolicy
    now_s: float

    def reserve(
        self, job: QueuedJob, slow_nodes: tuple[str, ...] = (), forbidden: tuple[str, ...] = ()
    ) -> Mapping[str, Placement] | GangRefusal:
        """Places for all tasks, reserved on the table; or why not, with the table as it was."""
        claims = self._sought(job, forbidden)
        if slow_nodes:
            found = self._reserve_all([_without(claim, slow_nodes) for claim in claims])
            if not isinstance(found, GangRefusal):
                return {**job.kept, **found}
        found = self._reserve_all(claims)
        return found if isinstance(found, GangRefusal) else {**job.kept, **found}

    def _sought(self, job: QueuedJob, forbidden: tuple[str, ...]) -> list[Claim]:
        claims = [claim for claim in job.claims if claim.task_id not in job.kept]
        if len(claims) > 1:
            claims.sort(key=_size, reverse=True)  # stable: equal tasks stay in order
        if job.backup_node_id and job.attempt > 0:
            first = (job.backup_node_id,)
            claims = [replace(claim, preferred_nodes=first + claim.preferred_nodes) for claim in claims]
        return [_without(claim, forbidden) for claim in claims] if forbidden else claims

    def _reserve_all(self, claims: Sequence[Claim]) -> dict[str, Placement] | GangRefusal:
        table, places = self.table, dict[str, Placement]()
        mark = table.begin_trial()
        for at, claim in enumerate(claims):
            place = self.placement.place(claim, table, self.now_s)
            if isinstance(place, Refusal):
                table.roll_back(mark)
                return GangRefusal(claim, len(claims) - at, place)
            table.reserve(place, claim)
            places[claim.task_id] = place
        table.accept()
        return places


def release(table: NodeTable, task_ids: Sequence[str] | Mapping[str, Placement]) -> None:
    """Give back the places of tasks, those that hold one."""
    for task_id in task_ids:
        if task_id in table.reservations:
            table.release(task_id)


def fits_empty(claims: Sequence[Claim], table: NodeTable) -> tuple[str, float]:
    """("", 0) when the gang would fit were nothing reserved, else (resource, how much is missing of it).

    Counts, for each kind of task, how many the usable nodes hold at most; what several kinds take from each
    other is not counted, so an answer "it fits" may still be too hopeful, a "never" is certain.
    """
    kinds: dict[Demand, list[Claim]] = {}
    for claim in claims:
        kinds.setdefault(demand_of(claim.demand), []).append(claim)
    for demand, alike in kinds.items():
        room = 0
        for row in table.rows():
            if table.usable[row] and allowed(alike[0], table, row):
                room += _room(demand, table, row)
                if room >= len(alike):
                    break
        if room < len(alike):
            return largest_lack(demand, table, len(alike) - room)
    return "", 0.0


def allowed(claim: Claim, table: NodeTable, row: int) -> bool:
    """Whether a task may use a node at all, whatever is free there."""
    labels = table.labels[row]
    if claim.gpu_models and table.gpu_models[row] not in claim.gpu_models:
        return False
    if table.node_ids[row] in claim.forbidden_nodes:
        return False
    return all(labels.get(name) == value for name, value in claim.node_labels.items())


def _room(demand: Demand, table: NodeTable, row: int) -> int:
    """How many such tasks the empty node holds."""
    rooms = [1_000_000]
    if demand.cpu_milli:
        rooms.append(table.cpu_total[row] // demand.cpu_milli)
    if demand.memory_bytes:
        rooms.append(table.memory_total[row] // demand.memory_bytes)
    if demand.devices:
        devices = len(table.devices[row])
        each = 1000 // demand.share if demand.share < 1000 else 1
        rooms.append(devices // demand.devices if each == 1 else devices * each)
    rooms += [have // want for have, want in zip(table.io_total[row], demand.io, strict=True) if want]
    return min(rooms)


def largest_lack(demand: Demand, table: NodeTable, tasks: int) -> tuple[str, float]:
    """The resource of which the largest usable node has too little for the task, else the scarcest one."""
    rows = [row for row in table.rows() if table.usable[row]]
    most_cpu = max((table.cpu_total[row] for row in rows), default=0)
    most_memory = max((table.memory_total[row] for row in rows), default=0)
    most_devices = max((len(table.devices[row]) for row in rows), default=0)
    if demand.devices > most_devices:
        return "gpus", float(demand.devices - most_devices)
    if demand.cpu_milli > most_cpu:
        return "cpu_cores", (demand.cpu_milli - most_cpu) / 1000
    if demand.memory_bytes > most_memory:
        return "memory_bytes", float(demand.memory_bytes - most_memory)
    if demand.devices:
        return "gpus", tasks * demand.gpu_milli / 1000
    return "cpu_cores", tasks * demand.cpu_milli / 1000


def _size(claim: Claim) -> tuple[float, float, float]:
    return claim.demand.gpus, claim.demand.cpu_cores, claim.demand.memory_bytes


def _without(claim: Claim, nodes: tuple[str, ...]) -> Claim:
    return replace(claim, forbidden_nodes=claim.forbidden_nodes + nodes)
