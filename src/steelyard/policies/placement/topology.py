"""Topology: a job's tasks close together (pack), or far apart (spread).

Source: Kueue's topology-aware scheduling (rack, then host) and Kubernetes' topology spread. Pack scores
where the job's tasks already are: the same node, else the same rack, else the same zone; a job's first task
goes to the rack with the most room for its like, so that the rest can follow. Spread takes the zone with
the fewest tasks of the job, then the rack, then the node. Ties go to the fuller node when packing, to the
emptier when spreading, then to the first by name, or to one at random. A node that names no rack or no zone
is one by itself. Cost: that of best fit, a look at the places that hold tasks of the job, and for its first
task at the rows that changed.
"""

from collections.abc import Iterable, Iterator

from steelyard.model.placement_policy import Claim, Demand, NodeColumns, Placement, Refusal, demand_of
from steelyard.policies.fit import fullness
from steelyard.policies.score_board import Score
from steelyard.policies.selection import MAX_BOARDS, Selection
from steelyard.policies.settings import PlacementSettings
from steelyard.policies.tiers import Place, Places, Tier, TieredSelection, grouped


class TopologyPack:
    """Keep a job in one rack, else in one zone."""

    __slots__ = ("_places", "_rooms", "_tiers")

    def __init__(self, settings: PlacementSettings) -> None:
        self._tiers = TieredSelection(Selection("topology-pack", fullness, rng=settings.tie_rng))
        self._places: Places | None = None
        self._rooms: dict[Demand, _RackRooms] = {}

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place nearest to the job's other tasks."""
        places = self._tiers.places(table)
        company = _Company(claim, table, places)
        if company.on:
            return self._tiers.place(claim, table, company.closest_first(), company.closeness)
        rooms = self._rooms_of(demand_of(claim.demand), places)
        return self._tiers.place(claim, table, rooms.roomiest_first(), rooms)

    def _rooms_of(self, demand: Demand, places: Places) -> "_RackRooms":
        if places is not self._places:
            self._places = places
            self._rooms.clear()
        rooms = self._rooms.get(demand)
        if rooms is None:
            if len(self._rooms) >= MAX_BOARDS:
                del self._rooms[next(iter(self._rooms))]
            rooms = self._rooms[demand] = _RackRooms(demand, places)
        rooms.sync()
        return rooms


class TopologySpread:
    """Let no zone, rack or node hold more of a job than it must."""

    __slots__ = ("_tiers",)

    def __init__(self, settings: PlacementSettings) -> None:
        self._tiers = TieredSelection(Selection("topology-spread", _emptiness, rng=settings.tie_rng))

    def place(self, claim: Claim, table: NodeColumns, now_s: float) -> Placement | Refusal:
        """Place farthest from the job's other tasks."""
        company = _Company(claim, table, self._tiers.places(table))
        return self._tiers.place(claim, table, company.farthest_first(), company.distance)


class _Company:
    """How many tasks of a job are on a node, in its rack and in its zone."""

    def __init__(self, claim: Claim, table: NodeColumns, places: Places) -> None:
        self._places = places
        self.on = table.key_rows.get(f"job={claim.job_id}", {}) if claim.job_id else {}
        self._in_rack, self._in_zone = places.around(self.on)

    def _beside(self, row: int) -> tuple[int, int]:
        """In its zone, in its rack."""
        (rack, zone), on = self._places.of_row[row], self.on.get(row, 0)
        return self._in_zone[zone] if zone else on, self._in_rack[rack] if rack else on

    def closeness(self, row: int) -> tuple[float, ...]:
        """Greater for what is closer."""
        in_zone, in_rack = self._beside(row)
        return (in_rack > 0, in_zone > 0, self.on.get(row, 0))

    def distance(self, row: int) -> tuple[float, ...]:
        """Greater for what is farther."""
        in_zone, in_rack = self._beside(row)
        return (-in_zone, -in_rack, -self.on.get(row, 0))

    def _distance_of_the_empty(self, place: Place) -> tuple[float, ...]:
        """Of a node there that holds none."""
        return (-self._in_zone[place[1]], -self._in_rack[place[0]], 0)

    def closest_first(self) -> Iterator[Tier]:
        """The job's nodes, racks and zones, then all nodes."""
        holders = grouped(self.on, self.on.__getitem__)
        for count in sorted(holders, reverse=True):
            yield Tier(1.0, holders[count])
        around = grouped(
            self._places.by_place,
            lambda place: (self._in_rack[place[0]] > 0, self._in_zone[place[1]] > 0),
        )
        for near in ((True, True), (True, False), (False, True)):
            if near in around:
                yield Tier(float(near[0]), self._places.rows(around[near]))
        yield Tier(0.0)

    def farthest_first(self) -> Iterator[Tier]:
        """Places without tasks of the job, then those with the fewest."""
        if not self.on:
            yield Tier(0.0)
            return
        holders = grouped(self.on, self.distance)
        around = grouped(self._places.by_place, self._distance_of_the_empty)
        for each in sorted({*holders, *around}, reverse=True):
            rows = [row for row in self._places.rows(around.get(each, ())) if row not in self.on]
            yield Tier(float(each[0]), rows + holders.get(each, []))


def _emptiness(demand: Demand, table: NodeColumns) -> Score:
    full = fullness(demand, table)
    return lambda row: -full(row)


class _RackRooms:
    """How many tasks of one shape fit into each rack, kept up to date from what changed."""

    __slots__ = ("_demand", "_places", "_position", "_racks", "_racks_with", "_room", "_rooms")

    def __init__(self, demand: Demand, places: Places) -> None:
        table = places.table
        self._demand, self._places, self._position = demand, places, table.position
        self._racks: dict[str, list[int]] = {}
        for row in table.rows():
            self._racks.setdefault(self._rack_of(row), []).append(row)
        self._room = [0] * len(table.node_ids)
        self._rooms = dict.fromkeys(self._racks, 0)
        self._racks_with: dict[int, dict[str, None]] = {0: dict.fromkeys(self._racks)}
        self._look_at(table.rows())

    def _rack_of(self, row: int) -> str:
        return self._places.of_row[row][0] or f"node {self._places.table.node_ids[row]}"

    def sync(self) -> None:
        """Look again at the rows that changed."""
        table = self._places.table
        changed = table.changed_since(self._position)
        self._position = table.position
        self._look_at(table.rows() if changed is None else set(changed))

    def _look_at(self, rows: Iterable[int]) -> None:
        for row in rows:
            room = _fitting(self._demand, self._places.table, row)
            if room != self._room[row] and row in self._places.of_row:
                rack = self._rack_of(row)
                before = self._rooms[rack]
                now = self._rooms[rack] = before + room - self._room[row]
                self._room[row] = room
                del self._racks_with[before][rack]
                if not self._racks_with[before]:
                    del self._racks_with[before]
                self._racks_with.setdefault(now, {})[rack] = None

    def __call__(self, row: int) -> tuple[float, ...]:
        return (float(self._rooms[self._rack_of(row)]),)

    def roomiest_first(self) -> Iterator[Tier]:
        """Racks by their room."""
        for room in sorted(self._racks_with, reverse=True):
            yield Tier(float(room), [row for rack in self._racks_with[room] for row in self._racks[rack]])


def _fitting(demand: Demand, table: NodeColumns, row: int) -> int:
    """How many tasks like this one a row has room for."""
    if not table.usable[row] or table.cpu_free[row] < demand.cpu_milli:
        return 0
    if demand.devices:
        return sum(free >= demand.share for free in table.devices[row]) // demand.devices
    return table.cpu_free[row] // max(1, demand.cpu_milli)
