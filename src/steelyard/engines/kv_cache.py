"""An engine's KV cache: whole prompt blocks that sequences share, and tokens that one has for itself.

A block that running sequences use is pinned and counts once, however many share it. One that nobody
uses stays until its room is needed, least recently used first; of one prompt's blocks the deepest goes
first, since a block is of no use without those before it. Cost: linear in the blocks of the prompt at
hand, O(1) for a token.
"""


class KvCache:
    """Room for `capacity_tokens`; what runs comes before what is only kept."""

    __slots__ = ("_idle", "_own_tokens", "_users", "block_tokens", "capacity_tokens")

    def __init__(self, capacity_tokens: int, block_tokens: int) -> None:
        self.capacity_tokens = capacity_tokens
        self.block_tokens = block_tokens
        self._own_tokens = 0
        self._users: dict[int, int] = {}  # pinned block -> sequences that use it
        self._idle: dict[int, None] = {}  # kept blocks, oldest first

    @property
    def running_tokens(self) -> int:
        """Tokens that running sequences need, shared ones counted once."""
        return self._own_tokens + len(self._users) * self.block_tokens

    @property
    def kept_tokens(self) -> int:
        """Tokens in blocks that nobody runs on at the moment."""
        return len(self._idle) * self.block_tokens

    @property
    def used_fraction(self) -> float:
        """Share taken by running sequences, 0..1: what engines report as KV cache use."""
        return min(1.0, self.running_tokens / self.capacity_tokens)

    def present(self, hashes: tuple[int, ...]) -> int:
        """How many of a prompt's leading blocks are here."""
        for count, block in enumerate(hashes):
            if block not in self._users and block not in self._idle:
                return count
        return len(hashes)

    def try_enter(self, hashes: tuple[int, ...], tokens: int) -> int | None:
        """Room for a prompt of so many tokens, `hashes` naming its whole blocks, and one more to come.

        Returns how many of its leading blocks are here; they are pinned, and the other tokens are
        taken. None, and nothing changed, when there is no room.
        """
        present = self.present(hashes)
        own = tokens - present * self.block_tokens
        woken = sum(block in self._idle for block in hashes[:present])
        # Room for a token to come too; else it would be set back at once.
        if self.running_tokens + woken * self.block_tokens + own + 1 > self.capacity_tokens:
            return None
        for block in hashes[:present]:
            self._pin(block)
        self._own_tokens += own
        self._evict()
        return present

    def share(self, hashes: tuple[int, ...]) -> None:
        """Blocks of a processed prompt may serve others: own tokens become shared, pinned blocks."""
        for block in hashes:
            self._own_tokens -= self.block_tokens
            self._pin(block)

    def try_grow(self) -> bool:
        """Take room for a token, evicting a kept block if need be; False when there is none."""
        if self.running_tokens >= self.capacity_tokens:
            return False
        self._own_tokens += 1
        self._evict()
        return True

    @property
    def room_tokens(self) -> int:
        """Tokens by which running sequences may still grow, kept blocks given up for them."""
        return self.capacity_tokens - self.running_tokens

    def grow(self, tokens: int) -> None:
        """Take room for several tokens at once; the caller has asked `room_tokens`."""
        self._own_tokens += tokens
        self._evict()

    def leave(self, hashes: tuple[int, ...], own_tokens: int) -> None:
        """A sequence ended or was set back: its own tokens are free, blocks that nobody else uses idle."""
        self._own_tokens -= own_tokens
        for block in reversed(hashes):
            users = self._users.pop(block) - 1
            if users:
                self._users[block] = users
            else:
                self._idle[block] = None
        self._evict()

    def _pin(self, block: int) -> None:
        self._idle.pop(block, None)
        self._users[block] = self._users.get(block, 0) + 1

    def _evict(self) -> None:
        room = (self.capacity_tokens - self.running_tokens) // self.block_tokens
        while len(self._idle) > room:
            del self._idle[next(iter(self._idle))]
