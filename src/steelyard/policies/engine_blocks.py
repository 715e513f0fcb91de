"""One engine's cache as its own events tell it, and which of the gateway's blocks that makes.

An engine names blocks by hashes of tokens, the gateway by hashes of text, and neither can be computed from
the other. But events bring the tokens of every block, and the engine will say the tokens of a prompt that
was sent (`/tokenize`). So blocks are kept as a tree, a block under the one before it by its tokens; a prompt
whose tokens are known is walked down that tree, and each of the gateway's blocks is tied to the engine's
block that holds its end, by proportion of text and tokens. From then on the engine's removals are the
gateway's, and what comes back is known again. Bounded: the oldest ties and blocks go first. Cost: one dict
look-up a block.
"""

from array import array
from dataclasses import dataclass, field
from typing import Final

import xxhash

MAX_BLOCKS: Final = 1 << 18
"""Of 16 tokens: 4 million tokens of KV cache, more than a replica of today holds."""


@dataclass(frozen=True, slots=True)
class Change:
    """What the index must be told: the gateway's blocks that came, and those that went."""

    came: tuple[int, ...] = ()
    went: tuple[int, ...] = ()


@dataclass(slots=True)
class EngineBlocks:
    """The blocks of one engine. max_blocks: kept at most, ties as well."""

    max_blocks: int = MAX_BLOCKS
    _block_tokens: int = 0
    _present: dict[int, int] = field(default_factory=dict)  # engine's block -> its place in the tree
    _tree: dict[int, int] = field(default_factory=dict)  # (block before, tokens) -> engine's block
    _ties: dict[int, tuple[int, ...]] = field(default_factory=dict)  # engine's block -> ours that end in it

    def __len__(self) -> int:
        return len(self._present)

    def stored(self, blocks: tuple[int, ...], parent: int, tokens: "array[int]", block_tokens: int) -> Change:
        """Blocks are in the cache, one after the other, behind `parent` (0: the first of a prompt)."""
        self._block_tokens = block_tokens
        came: list[int] = []
        went: list[int] = []
        for number, block in enumerate(blocks):
            place = _place(parent, tokens[number * block_tokens : (number + 1) * block_tokens])
            self._present.pop(block, None)  # it is the youngest now
            self._present[block] = place
            self._tree[place] = block
            came += self._ties.get(block, ())
            parent = block
        while len(self._present) > self.max_blocks:
            went += self._drop(next(iter(self._present)))
        return Change(tuple(came), tuple(went))

    def removed(self, blocks: tuple[int, ...]) -> Change:
        """Blocks left the cache. Their ties stay, for when they come back."""
        went: list[int] = []
        for block in blocks:
            went += self._drop(block)
        return Change(went=tuple(went))

    def clear(self) -> None:
        """The cache is empty, or nothing is known of it any more. Ties stay: they are facts about text."""
        self._present.clear()
        self._tree.clear()

    def tie(self, hashes: tuple[int, ...], share_of_text: float, tokens: "array[int]") -> Change:
        """Learn of a prompt that was sent: the gateway's blocks, of which the whole ones make up so much of
        its text, and its tokens. What of it is in the cache came; what is not, went.
        """
        size = self._block_tokens
        if not size or not hashes:
            return Change()
        walked: list[int] = []
        parent = 0
        for start in range(0, len(tokens) - size + 1, size):
            block = self._tree.get(_place(parent, tokens[start : start + size]))
            if block is None:
                break
            walked.append(block)
            parent = block
        tokens_a_block = len(tokens) * share_of_text / len(hashes)
        held = 0
        for number, ours in enumerate(hashes):
            at = int(((number + 1) * tokens_a_block - 1) // size)
            # The engine caches whole blocks only, so the text behind the last of them is never held.
            if at >= len(walked):
                break
            held = number + 1
            ties = self._ties.pop(walked[at], ())
            self._ties[walked[at]] = ties if ours in ties else (*ties, ours)[-8:]
        while len(self._ties) > self.max_blocks:
            del self._ties[next(iter(self._ties))]
        return Change(hashes[:held], hashes[held:])

    def _drop(self, block: int) -> tuple[int, ...]:
        place = self._present.pop(block, None)
        if place is None:
            return ()
        if self._tree.get(place) == block:
            del self._tree[place]
        return self._ties.get(block, ())


def _place(parent: int, tokens: "array[int]") -> int:
    return xxhash.xxh3_64_intdigest(tokens.tobytes(), parent)
