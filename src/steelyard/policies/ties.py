"""Breaking ties by chance, in one pass: of k equal minima each is chosen with chance 1/k."""

from collections.abc import Callable, Iterable, Sequence

from steelyard.model.chance import Rng


def one_of(ties: Sequence[int], rng: Rng) -> int:
    """One of equals. A single one costs no draw, so adding a generator changes no other pick."""
    return ties[0] if len(ties) == 1 else ties[int(rng.random() * len(ties))]


def least_slot(slots: Iterable[int], load_of: Callable[[int], float], rng: Rng) -> int:
    """The slot of least load; among equals one at random, whatever their order.

    load_of: the load of a slot, such as a column's `__getitem__`. Raises ValueError for no slots.
    """
    ties: list[int] = []
    least = 0.0
    for slot in slots:
        load = load_of(slot)
        if not ties or load < least:
            least = load
            ties = [slot]
        elif load == least:
            ties.append(slot)
    if not ties:
        raise ValueError("there is no slot to choose from")
    return one_of(ties, rng)


def two_slots(slots: tuple[int, ...], rng: Rng) -> tuple[int, int]:
    """Two different slots, every pair equally likely; the same one twice when there is only one."""
    count = len(slots)
    if count == 1:
        return slots[0], slots[0]
    first = int(rng.random() * count)
    # Draw from one place fewer and step over the first: no retry loop on the hot path.
    second = int(rng.random() * (count - 1))
    return slots[first], slots[second + 1 if second >= first else second]
