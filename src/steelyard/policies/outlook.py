"""The outlook of a node: how many of its idle GPUs will be of no use, by three measures added up.

- what stays idle in the end, after the tasks to come (`policies.stranding`);
- what large tasks lose for want of room (`policies.scarcity`);
- `NEXT_WEIGHT` times what the next task cannot use (`policies.fragmentation`).

The first fills a cluster that is asked for more than it has; the others keep nodes whole while tasks come
and go. Each alone does well at one of the two only (`benchmarks/results/placement.md`). Cost: some
look-ups, and two a device that is neither free nor full.
"""

from collections.abc import Mapping, Sequence

from steelyard.model.placement_policy import WHOLE_GPU
from steelyard.policies.fragmentation import CpuStep, Fragmentation
from steelyard.policies.request_mix import RequestMix
from steelyard.policies.scarcity import Hardware, Room, Scarcity
from steelyard.policies.stranding import UNIT, ModelStranding, Stranding

NEXT_WEIGHT = 4.5
"""More refuses less while tasks come and go, and packs less tightly (docs/decisions/0013)."""
TYPICAL_FRACTION = 0.95


class Outlook:
    """For nodes of one kind: thousandths of a GPU that will be of no use, by what is free."""

    __slots__ = ("_device", "_fragmentation", "_model", "_room", "_tables")

    def __init__(
        self, kind: Hardware, tables: ModelStranding, room: Room, fragmentation: Fragmentation
    ) -> None:
        self._model = kind.gpu_model
        self._tables = tables
        self._device = tables.device
        self._room = room
        self._fragmentation = fragmentation

    def useless(self, cpu_milli: int, devices: Sequence[int]) -> float:
        """With this much CPU free, and these thousandths of each device."""
        step = self._fragmentation.step(self._model, cpu_milli)
        return self._total(cpu_milli, step, *self._sums(step, devices))

    def useless_with_share(self, cpu_milli: int, devices: Sequence[int], share: int) -> tuple[float, int]:
        """The least that can be useless after a share of one device is taken, and the room of that device.

        cpu_milli: what is left of CPU then. Raises ValueError when no device has that much room.
        """
        step = self._fragmentation.step(self._model, cpu_milli)
        sums, partial, whole = self._sums(step, devices)
        best = (float("inf"), 0)
        for room in set(devices):
            if room < share:
                continue
            if room == WHOLE_GPU:
                after = sums + self._of_device(step, room - share), partial + room - share, whole - 1
            else:
                changed = self._of_device(step, room - share) - self._of_device(step, room)
                after = sums + changed, partial - share, whole
            best = min(best, (self._total(cpu_milli, step, *after), room))
        if not best[1]:
            raise ValueError(f"no device has {share} thousandths free: {list(devices)}")
        return best

    def _of_device(self, step: CpuStep, free: int) -> float:
        return self._device[free // UNIT] + NEXT_WEIGHT * free * step.tail[free]

    def _sums(self, step: CpuStep, devices: Sequence[int]) -> tuple[float, int, int]:
        """Over devices in part free: what is useless, and what is free; and how many are wholly free."""
        device, tail = self._device, step.tail
        sums, partial, whole = 0.0, 0, 0
        for free in devices:
            if free == WHOLE_GPU:
                whole += 1
            elif free:
                partial += free
                sums += device[free // UNIT] + NEXT_WEIGHT * free * tail[free]
        return sums, partial, whole

    def _total(self, cpu_milli: int, step: CpuStep, sums: float, partial: int, whole: int) -> float:
        tables = self._tables
        idle = partial + WHOLE_GPU * whole
        more = step.wants_more[whole]
        next_useless = idle * (step.useless + more) + partial * (step.whole - more)
        starved = tables.starved[cpu_milli // tables.cpu_step][idle // tables.gpu_step]
        return (
            sums
            + NEXT_WEIGHT * next_useless
            + tables.pool[whole]
            + starved
            + self._room.lost(cpu_milli, whole)
        )


class Outlooks:
    """For one mix and one layout of a cluster: an outlook a kind of node, and the price of a GPU a model."""

    __slots__ = ("_fragmentation", "_kinds", "_scarcity", "_stranding")

    def __init__(self, mix: RequestMix, kinds: Mapping[Hardware, int]) -> None:
        self._kinds: dict[Hardware, Outlook] = {}
        self._stranding = Stranding(mix.weights, kinds)
        self._scarcity = Scarcity(mix.weights, kinds)
        self._fragmentation = Fragmentation(mix.typical(TYPICAL_FRACTION))

    def of(self, kind: Hardware) -> Outlook:
        """The outlook of nodes of this kind."""
        outlook = self._kinds.get(kind)
        if outlook is None:
            tables = self._stranding.of(kind.gpu_model)
            outlook = Outlook(kind, tables, self._scarcity.room(kind), self._fragmentation)
            self._kinds[kind] = outlook
        return outlook

    def price(self, gpu_model: str) -> float:
        """Of one GPU of this model, in GPUs: what tasks that insist on it would lose."""
        return self._scarcity.price(gpu_model)
