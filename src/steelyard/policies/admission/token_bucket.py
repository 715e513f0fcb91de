"""A token bucket whose tokens may also be taken by others: the classic, with a debt.

It fills at `rate_per_s` up to `capacity`. A demand above the capacity is let through when the bucket is
full and leaves a debt, so that what is above a whole burst waits longer instead of for ever, and the mean
rate still holds. Cost: one multiplication a call.
"""


class TokenBucket:
    """One bucket. Times must not run backwards; a step back counts as no time."""

    __slots__ = ("capacity", "level", "rate_per_s", "seen_s")

    def __init__(self, rate_per_s: float, capacity: float, now_s: float) -> None:
        self.rate_per_s = rate_per_s
        self.capacity = self.level = capacity
        self.seen_s = now_s

    def fill(self, now_s: float) -> float:
        """Let time pass; the level then, which is below 0 in debt."""
        elapsed_s = now_s - self.seen_s
        if elapsed_s > 0:
            self.seen_s = now_s
            level = self.level + elapsed_s * self.rate_per_s
            self.level = level if level < self.capacity else self.capacity
        return self.level

    def holds(self, amount: float, now_s: float) -> bool:
        """Whether so much may be taken now."""
        return self.fill(now_s) >= (amount if amount < self.capacity else self.capacity)

    def take(self, amount: float) -> None:
        """Take, also what is not there; a negative amount gives back, up to the capacity."""
        self.level = min(self.capacity, self.level - amount)

    def wait_s(self, amount: float, now_s: float) -> float:
        """Seconds until so much may be taken, when nobody else takes any; 0 when it may now."""
        missing = min(amount, self.capacity) - self.fill(now_s)
        return missing / self.rate_per_s if missing > 0 else 0.0

    def full_in_s(self, now_s: float) -> float:
        """Seconds until the bucket is full again."""
        return (self.capacity - self.fill(now_s)) / self.rate_per_s
