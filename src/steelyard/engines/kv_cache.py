"""An engine's KV cache: tokens of running sequences, and blocks kept for those who begin alike.

Blocks of finished prompts stay until their room is needed, least recently used first. Counted in tokens.
"""


class KvCache:
    """Room for `capacity_tokens`; running sequences come before kept blocks."""

    __slots__ = ("_blocks", "block_tokens", "capacity_tokens", "running_tokens")

    def __init__(self, capacity_tokens: int, block_tokens: int) -> None:
        self.capacity_tokens = capacity_tokens
        self.block_tokens = block_tokens
        self.running_tokens = 0
        self._blocks: dict[int, None] = {}  # oldest first

    @property
    def kept_tokens(self) -> int:
        """Tokens in blocks that nobody runs on at the moment, or that a sequence shares."""
        return len(self._blocks) * self.block_tokens

    @property
    def used_fraction(self) -> float:
        """Share taken by running sequences, 0..1: what engines report as KV cache use."""
        return min(1.0, self.running_tokens / self.capacity_tokens)

    def cached_tokens(self, hashes: tuple[int, ...]) -> int:
        """Tokens of a prompt's beginning that are here; touching them makes them young again."""
        matched = 0
        for block in hashes:
            if block not in self._blocks:
                break
            matched += 1
        for block in reversed(hashes[:matched]):
            self._blocks[block] = self._blocks.pop(block)
        return matched * self.block_tokens

    def try_take(self, tokens: int) -> bool:
        """Room for more running tokens, evicting kept blocks if need be; False when there is none."""
        if self.running_tokens + tokens > self.capacity_tokens:
            return False
        self.running_tokens += tokens
        self._evict()
        return True

    def give_back(self, tokens: int) -> None:
        """A sequence ended or was set back."""
        self.running_tokens = max(0, self.running_tokens - tokens)

    def keep(self, hashes: tuple[int, ...]) -> None:
        """A prompt has been processed: its blocks may serve others."""
        for block in reversed(hashes):
            self._blocks.pop(block, None)
            self._blocks[block] = None
        self._evict()

    def _evict(self) -> None:
        room = max(0, self.capacity_tokens - self.running_tokens) // self.block_tokens
        while len(self._blocks) > room:
            del self._blocks[next(iter(self._blocks))]
