"""What one round may leave to the next: shapes that found no place, as long as nothing was freed.

With 10,000 jobs waiting and a full cluster, an arrival must not lead to 10,000 searches. A refusal stays true
while no node has more of anything than when it was noted. Cost: a look at each row that changed since.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

from steelyard.cluster.node_table import NodeTable
from steelyard.model.job import QueuedJob
from steelyard.scheduling.conservative import Promise
from steelyard.scheduling.gangs import GangRefusal, fits_empty

Room = tuple[int, int, tuple[int, int, int], tuple[int, ...], int, bool]


@dataclass(slots=True)
class RoundMemory:
    """Kept by the caller, for one table.

    refusals: shape → why it does not fit. Empty it with `forget` when in doubt: it only saves time.
    promises: of conservative backfill, by job; without them each round promises anew.
    """

    refusals: dict[tuple[object, ...], GangRefusal] = field(default_factory=dict)
    promises: dict[str, Promise] = field(default_factory=dict)
    _empty_lacks: dict[Hashable, tuple[str, float]] = field(default_factory=dict)
    _rooms: list[Room] = field(default_factory=list)
    _layout: int = -1
    _position: int = 0
    _usable: tuple[bool, ...] = ()

    def refresh(self, table: NodeTable) -> None:
        """Drop what may no longer be true."""
        changed = table.changed_since(self._position)
        if table.layout != self._layout or changed is None:
            self.forget()
            self._empty_lacks.clear()
            return
        for row in set(changed):
            now, then = _room(table, row), self._rooms[row]
            if now[5] != then[5]:
                self._empty_lacks.clear()
            if self.refusals and _grown(now, then):
                self.forget()

    def note(self, table: NodeTable) -> None:
        """Take down what is free at the end of a round, its starts included."""
        changed = table.changed_since(self._position)
        if table.layout != self._layout or changed is None:
            self._rooms = [_room(table, row) for row in range(len(table.nodes))]
        else:
            for row in set(changed):
                self._rooms[row] = _room(table, row)
        self._layout, self._position = table.layout, table.position

    def forget(self) -> None:
        """Try every shape again."""
        self.refusals.clear()

    def lack_of_empty(self, job: QueuedJob, table: NodeTable) -> tuple[str, float]:
        """As `fits_empty`, looked up once a shape while the nodes stay the same."""
        if job.shape not in self._empty_lacks:
            self._empty_lacks[job.shape] = fits_empty(job.claims, table)
        return self._empty_lacks[job.shape]


def _room(table: NodeTable, row: int) -> Room:
    return (
        table.cpu_free[row],
        table.memory_free[row],
        table.io_free[row],
        tuple(table.devices[row]),
        -table.task_counts[row],
        table.usable[row],
    )


def _grown(now: Room, then: Room) -> bool:
    """Whether there is more of anything, be it less company."""
    return (
        now[0] > then[0]
        or now[1] > then[1]
        or now[4] > then[4]
        or (now[5] and not then[5])
        or any(have > had for have, had in zip(now[2], then[2], strict=True))
        or any(have > had for have, had in zip(now[3], then[3], strict=True))
    )
