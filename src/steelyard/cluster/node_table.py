"""All nodes and what is reserved on them, in columns: the one truth that placement reads.

Reserved, not measured, amounts decide what fits; measured load stands beside them for policies that follow
it. Amounts are integers, so a release gives back exactly what a reservation took. Each change of a row is
appended to `changes`, so that a policy that keeps scores looks again at changed rows only. A trial is undone
from a log: planning ahead costs what it changed, not what the cluster holds.
Cost: a reservation or release touches one row; `copy` is linear in nodes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from steelyard.model.node import Node
from steelyard.model.placement_policy import WHOLE_GPU, Claim, Demand, Placement, demand_of
from steelyard.policies.feasibility import share_on

MIN_CHANGES_KEPT = 4096
Key = TypeVar("Key", str, int)


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one task holds: `share` thousandths of each of `devices`, and the amounts of its demand."""

    claim: Claim
    demand: Demand
    row: int
    node_id: str
    devices: tuple[int, ...]
    share: int


class NodeTable:
    """Columns over nodes; see `model.placement_policy.NodeColumns` for what each holds."""

    def __init__(self, nodes: Iterable[Node] = (), hot_fractions: Mapping[str, float] | None = None) -> None:
        """hot_fractions: measured use, by resource name, from which on a node takes no more tasks."""
        self.hot_fractions = dict(hot_fractions or {})
        self.layout = 0
        self.changes: list[int] = []
        self.dropped_changes = 0
        self.nodes: list[Node | None] = []
        self.node_ids: list[str] = []
        self.row_of: dict[str, int] = {}
        self.rank: list[int] = []
        self.alive: list[bool] = []
        self.usable: list[bool] = []
        self.unusable_reason: list[str] = []
        self.spare: list[bool] = []
        self.labels: list[Mapping[str, str]] = []
        self.gpu_models: list[str] = []
        self.cpu_free: list[int] = []
        self.cpu_total: list[int] = []
        self.memory_free: list[int] = []
        self.memory_total: list[int] = []
        self.io_free: list[tuple[int, int, int]] = []
        self.io_total: list[tuple[int, int, int]] = []
        self.devices: list[list[int]] = []
        self.gpu_free: list[int] = []
        self.device_memory: list[int] = []
        self.task_counts: list[int] = []
        self.key_counts: list[dict[str, int]] = []
        self.key_rows: dict[str, dict[int, int]] = {}
        self.gpu_classes: list[dict[int, int]] = []
        self.hot: list[str] = []
        self.measured: list[dict[str, float]] = []
        self.generation: list[int] = []
        self.reservations: dict[str, Reservation] = {}
        self._lost: list[dict[int, int]] = []
        self._spare_rows: list[int] = []
        self._rows: tuple[int, ...] = ()
        self._log: list[tuple[bool, Reservation]] = []
        self._trials = 0
        self._add_all(nodes)

    # --- nodes --------------------------------------------------------------------------------------------

    def add(self, node: Node) -> None:
        """Take in a node, all of it free. Raises ValueError when its name is taken."""
        self._add_all((node,))

    def _add_all(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if node.node_id in self.row_of:
                raise ValueError(
                    f"node {node.node_id!r} is already known: remove it first, or use another name"
                )
            row = self._spare_rows.pop() if self._spare_rows else self._append_row()
            self._fill_row(row, node)
        self._reorder()

    def remove(self, node_id: str) -> tuple[Claim, ...]:
        """Forget a node; return the claims of the tasks that were on it, no longer reserved."""
        row = self._row(node_id)
        lost = tuple(each for each in self.reservations.values() if each.row == row)
        for each in lost:
            self.release(each.claim.task_id)
        del self.row_of[node_id]
        self.alive[row] = self.usable[row] = False
        self.nodes[row] = None
        self._spare_rows.append(row)
        self._reorder()
        return tuple(each.claim for each in lost)

    def set_usable(self, node_id: str, usable: bool, reason: str = "") -> None:
        """Allow or forbid new tasks on a node; what runs there stays reserved."""
        row = self._row(node_id)
        self.usable[row] = usable
        self.unusable_reason[row] = "" if usable else reason
        self._changed(row)

    def set_device_usable(self, node_id: str, device: int, usable: bool) -> None:
        """Take one GPU out of use, or back into it; shares that are reserved on it stay so."""
        row = self._row(node_id)
        lost, free = self._lost[row], self.devices[row]
        if not 0 <= device < len(free):
            raise ValueError(f"node {node_id!r} has no GPU {device}: it has {len(free)}")
        if usable and device in lost:
            free[device] = lost.pop(device)
        elif not usable and device not in lost:
            lost[device], free[device] = free[device], 0
        self.gpu_free[row] = sum(free)
        self._changed(row)

    def measure(self, node_id: str, used_fractions: Mapping[str, float]) -> None:
        """Take in what telemetry saw, by resource name of `Resources`."""
        row = self._row(node_id)
        self.measured[row] = dict(used_fractions)
        self.hot[row] = next(
            (name for name, limit in self.hot_fractions.items() if used_fractions.get(name, 0.0) >= limit), ""
        )
        self._changed(row)

    # --- tasks --------------------------------------------------------------------------------------------

    def reserve(self, placement: Placement, claim: Claim) -> Reservation:
        """Hold what a claim asks for. Raises ValueError when it does not fit or is held already."""
        if claim.task_id in self.reservations:
            raise ValueError(f"task {claim.task_id!r} already has a place: release it first")
        row = self._row(placement.node_id)
        demand = demand_of(claim.demand)
        share = share_on(demand, self.device_memory[row])
        reservation = Reservation(claim, demand, row, placement.node_id, placement.devices, share)
        self._check(reservation)
        self._apply(reservation, 1)
        if self._trials:
            self._log.append((True, reservation))
        return reservation

    def release(self, task_id: str) -> Reservation:
        """Give back what a task holds. Raises KeyError when it holds nothing."""
        reservation = self.reservations[task_id]
        self._apply(reservation, -1)
        if self._trials:
            self._log.append((False, reservation))
        return reservation

    def place_of(self, task_id: str) -> str | None:
        """The node on which a task has its reservation, or None."""
        reservation = self.reservations.get(task_id)
        return reservation.node_id if reservation else None

    # --- trials -------------------------------------------------------------------------------------------

    def begin_trial(self) -> int:
        """Start to note what is reserved and released; return the mark to go back to. Trials may nest."""
        self._trials += 1
        return len(self._log)

    def roll_back(self, mark: int) -> None:
        """End the last trial begun, and undo what was done since its mark, last first."""
        while len(self._log) > mark:
            reserved, reservation = self._log.pop()
            self._apply(reservation, -1 if reserved else 1)
        self.accept()

    def accept(self) -> None:
        """End the last trial begun, and keep what was done; a trial round it may still undo it."""
        self._trials -= 1
        if not self._trials:
            self._log.clear()

    def copy(self) -> "NodeTable":
        """An independent table with the same content."""
        twin = NodeTable()
        for name, value in vars(self).items():
            setattr(twin, name, value.copy() if isinstance(value, list | dict) else value)
        twin.devices = [list(each) for each in self.devices]
        twin.key_counts = [dict(each) for each in self.key_counts]
        twin.key_rows = {key: dict(rows) for key, rows in self.key_rows.items()}
        twin.gpu_classes = [dict(each) for each in self.gpu_classes]
        twin.measured = [dict(each) for each in self.measured]
        twin._lost = [dict(each) for each in self._lost]
        twin._log, twin._trials = [], 0
        return twin

    # --- reading ------------------------------------------------------------------------------------------

    def rows(self) -> tuple[int, ...]:
        """Rows that hold a node, by rank."""
        return self._rows

    def changed_since(self, position: int) -> list[int] | None:
        """Rows that changed since a `position`, with repeats; None when that is too long ago to say."""
        start = position - self.dropped_changes
        return self.changes[start:] if start >= 0 else None

    @property
    def position(self) -> int:
        """How many changes there were, ever."""
        return self.dropped_changes + len(self.changes)

    def used_fraction(self, row: int, resource: str) -> float:
        """The greater of reserved and measured, as a share of the node's capacity; 0 where it has none."""
        return max(self._reserved_fraction(row, resource), self.measured[row].get(resource, 0.0))

    def _reserved_fraction(self, row: int, resource: str) -> float:
        if resource == "cpu_cores":
            free, total = self.cpu_free[row], self.cpu_total[row]
        elif resource == "memory_bytes":
            free, total = self.memory_free[row], self.memory_total[row]
        elif resource in ("gpus", "gpu_memory_bytes"):
            free, total = self.gpu_free[row], WHOLE_GPU * len(self.devices[row])
        else:
            at = _IO_NAMES.index(resource)
            free, total = self.io_free[row][at], self.io_total[row][at]
        return 1 - free / total if total else 0.0

    # --- rows ---------------------------------------------------------------------------------------------

    def _row(self, node_id: str) -> int:
        if node_id not in self.row_of:
            raise KeyError(f"node {node_id!r} is not known")
        return self.row_of[node_id]

    def _append_row(self) -> int:
        no_io = (0, 0, 0)
        self.nodes.append(None)
        for words in (self.node_ids, self.unusable_reason, self.gpu_models, self.hot):
            words.append("")
        for flags in (self.alive, self.usable, self.spare):
            flags.append(False)
        for numbers in (self.rank, self.cpu_free, self.cpu_total, self.memory_free, self.memory_total):
            numbers.append(0)
        for numbers in (self.gpu_free, self.device_memory, self.task_counts, self.generation):
            numbers.append(0)
        self.io_free.append(no_io)
        self.io_total.append(no_io)
        self.labels.append({})
        self.devices.append([])
        self.key_counts.append({})
        self.gpu_classes.append({})
        self.measured.append({})
        self._lost.append({})
        return len(self.nodes) - 1

    def _fill_row(self, row: int, node: Node) -> None:
        whole = demand_of(node.capacity)
        self.nodes[row] = node
        self.node_ids[row] = node.node_id
        self.row_of[node.node_id] = row
        self.alive[row] = self.usable[row] = True
        self.unusable_reason[row] = ""
        self.spare[row] = node.spare
        self.labels[row] = node.labels
        self.gpu_models[row] = node.gpu_model
        self.cpu_free[row] = self.cpu_total[row] = whole.cpu_milli
        self.memory_free[row] = self.memory_total[row] = whole.memory_bytes
        self.io_free[row] = self.io_total[row] = whole.io
        self.devices[row] = [WHOLE_GPU] * whole.devices
        self.gpu_free[row] = whole.gpu_milli
        self.device_memory[row] = whole.device_memory_bytes
        self.task_counts[row] = 0
        self.key_counts[row] = {}
        self.gpu_classes[row] = {}
        self.hot[row] = ""
        self.measured[row] = {}
        self._lost[row] = {}

    def _reorder(self) -> None:
        self.layout += 1
        self._rows = tuple(row for _, row in sorted((name, row) for name, row in self.row_of.items()))
        for rank, row in enumerate(self._rows):
            self.rank[row] = rank

    def _changed(self, row: int) -> None:
        self.generation[row] += 1
        self.changes.append(row)
        if len(self.changes) > max(MIN_CHANGES_KEPT, 8 * len(self.nodes)):
            half = len(self.changes) // 2
            del self.changes[:half]
            self.dropped_changes += half

    # --- amounts ------------------------------------------------------------------------------------------

    def _check(self, reservation: Reservation) -> None:
        row, demand, devices = reservation.row, reservation.demand, reservation.devices
        free = self.devices[row]
        if len(set(devices)) != demand.devices or any(not 0 <= each < len(free) for each in devices):
            raise ValueError(
                f"task {reservation.claim.task_id!r} wants {demand.devices} GPUs, placed on {devices}"
            )
        lacking = [
            name
            for name, lacks in (
                ("cpu", self.cpu_free[row] < demand.cpu_milli),
                ("memory", self.memory_free[row] < demand.memory_bytes),
                ("gpus", any(free[each] < reservation.share for each in devices)),
                ("io", any(have < want for have, want in zip(self.io_free[row], demand.io, strict=True))),
            )
            if lacks
        ]
        if lacking:
            raise ValueError(
                f"task {reservation.claim.task_id!r} does not fit on node {reservation.node_id!r}: "
                f"too little {' and '.join(lacking)}"
            )

    def _apply(self, reservation: Reservation, sign: int) -> None:
        """Take (1) or give back (-1)."""
        row, demand = reservation.row, reservation.demand
        self.cpu_free[row] -= sign * demand.cpu_milli
        self.memory_free[row] -= sign * demand.memory_bytes
        if reservation.devices:
            self._apply_devices(reservation, sign)
        if demand.io != (0, 0, 0):
            read, write, net = self.io_free[row]
            more = demand.io
            self.io_free[row] = (read - sign * more[0], write - sign * more[1], net - sign * more[2])
        self.task_counts[row] += sign
        for key in keys_of(reservation.claim):
            _count(self.key_counts[row], key, sign)
            rows = self.key_rows.setdefault(key, {})
            _count(rows, row, sign)
            if not rows:
                del self.key_rows[key]
        if sign > 0:
            self.reservations[reservation.claim.task_id] = reservation
        else:
            del self.reservations[reservation.claim.task_id]
        self._changed(row)

    def _apply_devices(self, reservation: Reservation, sign: int) -> None:
        row, taken = reservation.row, sign * reservation.share
        free, lost = self.devices[row], self._lost[row]
        _count(self.gpu_classes[row], gpu_class(reservation.demand), sign)
        for device in reservation.devices:
            if device in lost:
                lost[device] -= taken
            else:
                free[device] -= taken
                self.gpu_free[row] -= taken


_IO_NAMES = ("disk_read_bytes_per_s", "disk_write_bytes_per_s", "network_bytes_per_s")


def gpu_class(demand: Demand) -> int:
    """0 for a share of a GPU, else the number of whole ones."""
    return demand.devices if demand.share == WHOLE_GPU else 0


def _count(counts: dict[Key, int], key: Key, change: int) -> None:
    counts[key] = counts.get(key, 0) + change
    if not counts[key]:
        del counts[key]


def keys_of(claim: Claim) -> tuple[str, ...]:
    """The keys that a task carries, its job's among them."""
    return (*claim.keys, f"job={claim.job_id}") if claim.job_id else claim.keys
