"""Breaking ties by chance, in one pass: of k equal minima each is chosen with chance 1/k."""

from collections.abc import Iterable

from steelyard.model.chance import Rng


def least_slot(slots: Iterable[int], loads: list[int] | list[float], rng: Rng) -> int:
    """The slot of least load; among equals one at random, whatever their order.

    Raises ValueError for no slots.
    """
    ties: list[int] = []
    least = 0.0
    for slot in slots:
        load = loads[slot]
        if not ties or load < least:
            least = load
            ties = [slot]
        elif load == least:
            ties.append(slot)
    if not ties:
        raise ValueError("there is no slot to choose from")
    return ties[0] if len(ties) == 1 else ties[int(rng.random() * len(ties))]


def two_slots(slots: tuple[int, ...], rng: Rng) -> tuple[int, int]:
    """Two different slots, every pair equally likely; the same one twice when there is only one."""
    count = len(slots)
    if count == 1:
        return slots[0], slots[0]
    first = int(rng.random() * count)
    # Draw from one place fewer and step over the first: no retry loop on the hot path.
    second = int(rng.random() * (count - 1))
    return slots[first], slots[second + 1 if second >= first else second]
