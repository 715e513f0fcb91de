"""What a placement policy is asked, what it sees, and what it answers.

Amounts are integers here (thousandths of a core and of a GPU, bytes), so that what is released is exactly
what was reserved, however often.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from steelyard.model.resources import Resources

WHOLE_GPU = 1000
"""Thousandths of one device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One task that wants a place.

    demand: `gpus` is a share of one device (below 1) or a whole number of them; `gpu_memory_bytes` is the sum
        over the task's devices.
    keys: words that this task carries; its job counts as one by itself.
    affinity_keys: wants to be near tasks that carry one of these.
    anti_affinity_keys: must not share a node with tasks that carry one of these.
    node_labels: every one must be on the node with this value.
    gpu_models: only these, any when empty.
    data_bytes: bytes of its data by place, a place being a node's name, rack or zone.
    preferred_nodes: tried first, in this order; an own backup node or the node of its data.
    forbidden_nodes: never.
    """

    task_id: str
    demand: Resources
    job_id: str = ""
    expected_time_s: float = 0.0
    keys: tuple[str, ...] = ()
    affinity_keys: tuple[str, ...] = ()
    anti_affinity_keys: tuple[str, ...] = ()
    node_labels: Mapping[str, str] = field(default_factory=dict)
    gpu_models: tuple[str, ...] = ()
    data_bytes: Mapping[str, float] = field(default_factory=dict)
    preferred_nodes: tuple[str, ...] = ()
    forbidden_nodes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        gpus = self.demand.gpus
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(
                f"task {self.task_id!r} wants {gpus} GPUs: ask for a share of one (0.5) or for whole ones (2)"
            )


@dataclass(frozen=True, slots=True)
class Demand:
    """A claim's amounts in integers.

    devices: how many GPUs; share: thousandths of each of them.
    device_memory_bytes: on each of them.
    io: bytes a second of disk reads, disk writes and network.
    """

    cpu_milli: int
    memory_bytes: int
    devices: int
    share: int
    device_memory_bytes: int
    io: tuple[int, int, int]

    @property
    def gpu_milli(self) -> int:
        """Thousandths of a GPU, over all devices."""
        return self.devices * self.share


@lru_cache(maxsize=8192)
def demand_of(demand: Resources) -> Demand:
    """Amounts in integers, rounded up, so that nothing is promised that is not there."""
    if demand.gpus >= 1:
        devices, share = int(demand.gpus), WHOLE_GPU
    else:
        devices, share = (1, max(1, _ceil(demand.gpus * WHOLE_GPU))) if demand.gpus > 0 else (0, 0)
    return Demand(
        _ceil(demand.cpu_cores * 1000),
        _ceil(demand.memory_bytes),
        devices,
        share,
        _ceil(demand.gpu_memory_bytes / devices) if devices else 0,
        (
            _ceil(demand.disk_read_bytes_per_s),
            _ceil(demand.disk_write_bytes_per_s),
            _ceil(demand.network_bytes_per_s),
        ),
    )


def _ceil(amount: float) -> int:
    # 0.29 × 1000 is 290.00000000000006 in floating point and must not become 291.
    return -int(-round(amount, 6) // 1)


@dataclass(frozen=True, slots=True)
class Placement:
    """A place for one task.

    devices: indices of the GPUs on that node, each once, ascending; () for a task without.
    score: of the chosen node, greater is better; its scale is the policy's own.
    reason: a short constant code, such as "best-fit".
    alternatives: the next best nodes and their scores, when the policy compared some.
    """

    node_id: str
    devices: tuple[int, ...]
    score: float
    reason: str
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """No node fits now, and why.

    counts: nodes by the first thing that rules each of them out, such as {"gpus": 40, "memory": 2}.
    sentence: the same, for people, with what was asked.
    """

    counts: Mapping[str, int]
    sentence: str


class NodeColumns(Protocol):
    """What a policy may read of the nodes: one entry a row in each column.

    A row stays a node's own while the node is known. `layout` changes when nodes come or go, and with it may
    the meaning of rows; `changed_since` names the rows that changed meanwhile.

    alive: whether the row holds a node at all; usable: whether tasks may be placed on it now.
    rank: the row's place in the order of names: the usual tie rule.
    *_free: what no task has reserved. devices: thousandths free on each GPU. gpu_free: their sum.
    io_free: disk reads, disk writes, network.
    device_memory: bytes of one GPU. task_counts: tasks on the node.
    key_counts: how many tasks there carry a key. key_rows: the same by key: row → tasks.
    gpu_classes: how many tasks hold a share of a GPU (0), one, two...
    hot: the resource whose measured use is over its threshold, "" for none. measured: used fraction by
        resource, from telemetry.
    """

    layout: int
    node_ids: list[str]
    row_of: dict[str, int]
    rank: list[int]
    alive: list[bool]
    usable: list[bool]
    spare: list[bool]
    labels: list[Mapping[str, str]]
    gpu_models: list[str]
    cpu_free: list[int]
    cpu_total: list[int]
    memory_free: list[int]
    memory_total: list[int]
    io_free: list[tuple[int, int, int]]
    devices: list[list[int]]
    gpu_free: list[int]
    device_memory: list[int]
    task_counts: list[int]
    key_counts: list[dict[str, int]]
    key_rows: dict[str, dict[int, int]]
    gpu_classes: list[dict[int, int]]
    hot: list[str]
    measured: list[dict[str, float]]
    generation: list[int]

    def rows(self) -> Sequence[int]:
        """Rows that hold a node, by rank."""
        ...

    @property
    def position(self) -> int:
        """How many changes there were, ever."""
        ...

    def changed_since(self, position: int) -> list[int] | None:
        """Rows that changed since a `position`, with repeats; None when that is too long ago to say."""
        ...

    def used_fraction(self, row: int, resource: str) -> float:
        """The greater of reserved and measured, as a share of the node's capacity; 0 where it has none."""
        ...


class PlacementPolicy(Protocol):
    """Choose a node, and the GPUs on it, for one task. No I/O, no clock, no chance of its own."""

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Return a place that fits, or say why none does. Reserving it is the caller's part.

        now_s: monotonic seconds, of the machine or of the simulation.
        """
        ...
