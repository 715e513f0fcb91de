"""Slots by how many requests they have in flight, so that the least busy is found without a look at all.

A bucket of slots a count. A request more or less moves one slot to the next bucket, so whoever counts keeps
it up to date in constant time, and a draw from the least bucket is fair: each of k equals with chance 1/k.
"""

from steelyard.model.chance import Rng


class FleetOrder:
    """Buckets of slots, made from a column of counts.

    least: the count of the least busy. total: of all counts.
    """

    __slots__ = ("_at", "_buckets", "_counts", "least", "total")

    def __init__(self, counts: list[int]) -> None:
        self._counts = list(counts)
        self._at = [0] * len(counts)
        self._buckets: list[list[int]] = []
        for slot, count in enumerate(counts):
            self._put(slot, count)
        self.least = min(counts, default=0)
        self.total = sum(counts)

    def __len__(self) -> int:
        return len(self._counts)

    def moved(self, slot: int, count: int) -> None:
        """A slot has so many requests now, 0 or more."""
        old = self._counts[slot]
        if count == old:
            return
        bucket = self._buckets[old]
        last = bucket.pop()
        if last != slot:
            at = self._at[slot]
            bucket[at] = last
            self._at[last] = at
        self._counts[slot] = count
        self.total += count - old
        self._put(slot, count)
        if count < self.least:
            self.least = count
        elif old == self.least and not bucket:
            while not self._buckets[self.least]:
                self.least += 1

    def draw(self, rng: Rng) -> int:
        """One of the least busy. A single one costs no draw."""
        bucket = self._buckets[self.least]
        return bucket[0] if len(bucket) == 1 else bucket[int(rng.random() * len(bucket))]

    def _put(self, slot: int, count: int) -> None:
        while len(self._buckets) <= count:
            self._buckets.append([])
        bucket = self._buckets[count]
        self._at[slot] = len(bucket)
        bucket.append(slot)
