"""Which replicas probably hold which prompt prefixes: an approximate picture of their KV caches.

A map from the chained hash of a block to the replicas that were sent it lately. Each replica's share is
bounded by what its cache can hold and ages like it, least recently used first. A wrong entry costs a
cache miss, never a wrong answer. Cost: a dictionary look-up a block, found by bisection over the chain:
a hash names all blocks before it, so a replica that holds block k was sent all before.
"""

from collections import OrderedDict
from collections.abc import Iterable

DEFAULT_CAPACITY_BLOCKS = 4096


class PrefixIndex:
    """Replicas' probable prefixes, by slot."""

    __slots__ = ("_held", "_holders")

    def __init__(self) -> None:
        self._holders: dict[int, tuple[int, ...]] = {}
        self._held: dict[int, OrderedDict[int, None]] = {}

    def match(self, hashes: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """(blocks, slots): the longest prefix that anyone holds, and who holds it; (0, ()) for none."""
        low, high = 0, len(hashes)
        holders: tuple[int, ...] = ()
        while low < high:
            middle = (low + high + 1) // 2
            found = self._holders.get(hashes[middle - 1])
            if found:
                low, holders = middle, found
            else:
                high = middle - 1
        return low, holders

    def matched_blocks(self, slot: int, hashes: tuple[int, ...]) -> int:
        """How many of the first blocks one replica probably holds."""
        held = self._held.get(slot)
        if not held:
            return 0
        low, high = 0, len(hashes)
        while low < high:
            middle = (low + high + 1) // 2
            if hashes[middle - 1] in held:
                low = middle
            else:
                high = middle - 1
        return low

    def matches(self, slots: Iterable[int], hashes: tuple[int, ...]) -> dict[int, int]:
        """How many of the first blocks each of these replicas probably holds: a look at all of them."""
        longest, _ = self.match(hashes)
        if not longest:
            return dict.fromkeys(slots, 0)
        return {slot: self.matched_blocks(slot, hashes) for slot in slots}

    def insert(self, slot: int, hashes: tuple[int, ...], capacity_blocks: int) -> None:
        """A replica is sent a prompt: it will hold these blocks, and forget its oldest ones for them."""
        held = self._held.setdefault(slot, OrderedDict())
        # Last block first, so that within one prompt the end is forgotten before the beginning.
        for block in reversed(hashes):
            if block in held:
                held.move_to_end(block)
            else:
                held[block] = None
                self._holders[block] = (*self._holders.get(block, ()), slot)
        while len(held) > capacity_blocks:
            self._drop(held.popitem(last=False)[0], slot)

    def _drop(self, block: int, slot: int) -> None:
        left = tuple(holder for holder in self._holders.get(block, ()) if holder != slot)
        if left:
            self._holders[block] = left
        else:
            self._holders.pop(block, None)

    def forget(self, slot: int) -> None:
        """A replica restarted or was replaced: its cache is empty."""
        for block in self._held.pop(slot, {}):
            self._drop(block, slot)

    def __len__(self) -> int:
        return len(self._holders)
