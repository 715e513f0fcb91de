"""Which replicas probably hold which prompt prefixes: an approximate picture of their KV caches, in words of
memory that processes may share without locks.

An open-addressed table of 64-bit words, one a (block, replica): the block's hash mixed with the replica, its
low 16 bits mixed with the replica's epoch when it last was sent the block. Two places a pair: the newer word
first, the older one is overwritten. A replica's epoch advances with what it is sent, and for each of its
last 64 epochs a row of words counts the blocks that were touched in it last; so the youngest that fit its
capacity are known to be alive, which is LRU at the grain of a 32nd of a cache. A restart is forgotten by
ending all epochs: three writes. A torn, lost or stale word costs a cache miss, never a wrong answer. A second
table names up to four replicas a block, for fleets too large to be asked one by one.

Bounded by its memory, whatever clients send. Cost: 0.1 µs a look-up, of which a replica takes one if it does
not hold the first block, else the logarithm of the blocks; 0.3 µs a block for an insert.
"""

from collections.abc import Sequence
from typing import Final

from steelyard.model.request import PREFIX_HASH_BITS

DEFAULT_CAPACITY_BLOCKS: Final = 4096
TABLE_WORDS: Final = 1 << 19
MAX_SLOTS: Final = 1024

LEAST_TABLE_WORDS: Final = 1 << 17  # below, the place and the tag would not cover the whole hash
_EPOCHS: Final = 64
_ROW: Final = 8 + _EPOCHS
# The words of a row, one a line: only so do they cost nothing when compiled.
_EPOCH: Final = 0
_LIVE: Final = 1
_SENT: Final = 2
_FACTOR: Final = 3
_HEAD: Final = 4
_LOST: Final = 5
_COUNTS: Final = 8
_WORD: Final = 8
_LOW: Final = 0xFFFF
_ALL_BITS: Final = (1 << PREFIX_HASH_BITS) - 1
_SALT: Final = 0xC2B2AE3D27D4EB4F & _ALL_BITS
_HOME_SALT: Final = 0xD6E8FEB86659FD93 & _ALL_BITS
_UNIT: Final = 1024  # learned factors are whole numbers of this
_LOSSES: Final = 3  # prompts in a row of which nothing was left before a replica counts as restarted


class PrefixIndex:
    """Replicas' probable prefixes, by slot.

    memory: at least `bytes_needed()` writable bytes, all zeros at first; None for memory of its own.
    """

    __slots__ = ("_home_mask", "_homes", "_mask", "_rows", "_salts", "_table", "memory")

    def __init__(self, memory: memoryview | None = None, table_words: int = TABLE_WORDS) -> None:
        if table_words < LEAST_TABLE_WORDS or table_words & (table_words - 1):
            raise ValueError(
                f"table_words is {table_words}: it must be a power of two, {LEAST_TABLE_WORDS} or more"
            )
        if memory is None:
            memory = memoryview(bytearray(self.bytes_needed(table_words)))
        self.memory = memory
        words = memory.cast("B").cast("Q")
        home_words = table_words // 4
        self._rows = words[: MAX_SLOTS * _ROW]
        self._table = words[MAX_SLOTS * _ROW : MAX_SLOTS * _ROW + table_words]
        self._homes = words[MAX_SLOTS * _ROW + table_words : MAX_SLOTS * _ROW + table_words + home_words]
        self._mask = table_words - 2  # even: the first place of a pair
        self._home_mask = home_words - 1
        self._salts = [(slot + 1) * _SALT & _ALL_BITS for slot in range(MAX_SLOTS)]

    @staticmethod
    def bytes_needed(table_words: int = TABLE_WORDS) -> int:
        """Memory for a table: eight words a block that the fleet's caches hold lose one in a hundred."""
        return (MAX_SLOTS * _ROW + table_words + table_words // 4) * _WORD

    def held_by(self, slots: Sequence[int], hashes: tuple[int, ...]) -> list[int]:
        """How many of the first blocks each of these replicas probably holds, in their order."""
        if not hashes:
            return [0] * len(slots)
        table, mask, rows, salts = self._table, self._mask, self._rows, self._salts
        first, several = hashes[0], len(hashes) > 1
        found: list[int] = []
        for slot in slots:
            key = first ^ salts[slot]
            at = key & mask
            epoch = table[at] ^ key
            if epoch > _LOW:
                epoch = table[at + 1] ^ key
                if epoch > _LOW:
                    found.append(0)
                    continue
            base = slot * _ROW
            if (rows[base] - epoch) & _LOW < rows[base + 1]:
                found.append(self._depth(slot, hashes) if several else 1)
            else:
                found.append(0)
        return found

    def held(self, slot: int, hashes: tuple[int, ...]) -> int:
        """How many of the first blocks one replica probably holds."""
        return self.held_by((slot,), hashes)[0]

    def matches(self, slots: Sequence[int], hashes: tuple[int, ...]) -> dict[int, int]:
        """The same of several, by slot."""
        return dict(zip(slots, self.held_by(slots, hashes), strict=True))

    def _depth(self, slot: int, hashes: tuple[int, ...]) -> int:
        """By bisection: a hash names all blocks before it, so who holds a block was sent those before."""
        table, mask, salt = self._table, self._mask, self._salts[slot]
        now, live = self._rows[slot * _ROW], self._rows[slot * _ROW + 1]
        low, high = 1, len(hashes)
        middle = high  # a prompt that is known whole is the likeliest
        while low < high:
            key = hashes[middle - 1] ^ salt
            at = key & mask
            epoch = table[at] ^ key
            if epoch > _LOW:
                epoch = table[at + 1] ^ key
            if epoch > _LOW or (now - epoch) & _LOW >= live:
                high = middle - 1
            else:
                low = middle
            middle = (low + high + 1) >> 1
        return low

    def holders(self, hashes: tuple[int, ...]) -> list[int]:
        """Up to four replicas that were sent the longest known prefix, each once; [] when nobody was."""
        homes, mask = self._homes, self._home_mask
        low, high, found = 0, len(hashes), 0
        while low < high:
            middle = (low + high + 1) >> 1
            key = hashes[middle - 1] ^ _HOME_SALT
            word = homes[key & mask]
            if word ^ key >> 40 << 40 < 1 << 40:
                low, found = middle, word
            else:
                high = middle - 1
        if not low:
            return []
        return list(dict.fromkeys((found & 1023, found >> 10 & 1023, found >> 20 & 1023, found >> 30 & 1023)))

    def insert(
        self, slot: int, hashes: tuple[int, ...], capacity_blocks: int, known: int, *, named: bool = False
    ) -> None:
        """A replica is sent a prompt: it will hold these blocks, and forget its oldest ones for them.

        known: how many of them it was found to hold. named: remember it as one of the blocks' holders, too.
        """
        rows, base = self._rows, slot * _ROW
        now = rows[base]
        if not rows[base + _LIVE]:
            rows[base + _LIVE] = 1
        if named:
            self._name(slot, hashes)
        touched = self._touch(slot, hashes[:known]) if known else 0
        table, mask, salt = self._table, self._mask, self._salts[slot]
        for block in hashes[known:] if known else hashes:
            key = block ^ salt
            at = key & mask
            table[at + 1] = table[at]
            table[at] = key ^ now
        fresh = len(hashes) - known
        touched += fresh
        if touched:
            rows[base + _SENT] += fresh
            place = base + _COUNTS + (now & 63)
            rows[place] = total = rows[place] + touched
            capacity = capacity_blocks * (rows[base + _FACTOR] or _UNIT) // _UNIT
            if total * 32 >= capacity:
                self._next_epoch(base, capacity)

    def _touch(self, slot: int, hashes: tuple[int, ...]) -> int:
        """Blocks that a replica holds are its youngest again; how many were not so already."""
        table, mask, rows, salt = self._table, self._mask, self._rows, self._salts[slot]
        now, counts = rows[slot * _ROW], slot * _ROW + _COUNTS
        touched = 0
        # The last first: if it is young, those before it are.
        for block in reversed(hashes):
            key = block ^ salt
            at = key & mask
            epoch = table[at] ^ key
            if epoch > _LOW:
                at += 1
                epoch = table[at] ^ key
            if epoch == now:
                break
            table[at] = key ^ now
            touched += 1
            if epoch <= _LOW:
                place = counts + (epoch & 63)
                rows[place] -= rows[place] > 0
        return touched

    def _next_epoch(self, base: int, capacity: int) -> None:
        """Begin an epoch; alive are as many of the latest ones as fit."""
        rows, counts = self._rows, base + _COUNTS
        epoch = rows[base]
        room = capacity
        live = 0
        while live < min(rows[base + _LIVE], _EPOCHS - 1):
            room -= rows[counts + ((epoch - live) & 63)]
            if room < 0 and live:
                break
            live += 1
        rows[counts + ((epoch + 1) & 63)] = 0
        rows[base] = (epoch + 1) & _LOW
        rows[base + _LIVE] = live + 1

    def _name(self, slot: int, hashes: tuple[int, ...]) -> None:
        homes, mask = self._homes, self._home_mask
        four_times = slot | slot << 10 | slot << 20 | slot << 30
        for block in hashes:
            key = block ^ _HOME_SALT
            at = key & mask
            word = homes[at]
            tag = key >> 40 << 40
            if word ^ tag >= 1 << 40:
                homes[at] = tag | four_times
            elif slot not in (word & 1023, word >> 10 & 1023, word >> 20 & 1023, word >> 30 & 1023):
                homes[at] = tag | (word << 10 & (1 << 40) - 1) | slot

    def forget(self, slot: int) -> None:
        """A replica restarted or was replaced: its cache is empty."""
        rows, base = self._rows, slot * _ROW
        rows[base] = (rows[base] + 1) & _LOW
        rows[base + _LIVE] = 1
        rows[base + _COUNTS + (rows[base] & 63)] = 0
        rows[base + _LOST] = 0

    def set_held(self, slot: int, hashes: tuple[int, ...]) -> None:
        """A replica says that it holds these blocks: they are its youngest."""
        rows, base, salt = self._rows, slot * _ROW, self._salts[slot]
        if not rows[base + _LIVE]:
            rows[base + _LIVE] = 1
        # It says itself what it loses, so nothing is to be taken for lost before.
        rows[base + _FACTOR] = 4 * _UNIT
        now, table = rows[base], self._table
        for block in hashes:
            key = block ^ salt
            at = key & self._mask
            if table[at] ^ key > _LOW:
                table[at + 1] = table[at]
            table[at] = key ^ now

    def drop(self, slot: int, hashes: tuple[int, ...]) -> None:
        """A replica says that it holds these blocks no more."""
        table, salt = self._table, self._salts[slot]
        for block in hashes:
            key = block ^ salt
            at = key & self._mask
            if table[at] ^ key <= _LOW:
                table[at] = table[at + 1]
                table[at + 1] = 0
            elif table[at + 1] ^ key <= _LOW:
                table[at + 1] = 0

    def learn(self, slot: int, believed_tokens: int, cached_tokens: int, block_tokens: int) -> None:
        """What an engine says it had of a prompt corrects how much it is taken to hold.

        Less than half of what was believed: it holds less than thought; far more: it holds more. The
        gateway's tokens are estimates, so smaller differences say nothing. Nothing at all, three times in
        a row: it was restarted.
        """
        rows, base = self._rows, slot * _ROW
        factor = rows[base + _FACTOR] or _UNIT
        if 2 * cached_tokens < believed_tokens and believed_tokens >= 2 * block_tokens:
            rows[base + _FACTOR] = max(_UNIT // 16, factor - factor // 32)
            lost = rows[base + _LOST] + 1 if not cached_tokens else 0
            rows[base + _LOST] = lost
            if lost >= _LOSSES:
                self.forget(slot)
            return
        rows[base + _LOST] = 0
        if cached_tokens > 1.5 * believed_tokens + 2 * block_tokens:
            rows[base + _FACTOR] = min(4 * _UNIT, factor + factor // 64)

    def turned_over(self, slot: int) -> int:
        """Blocks that a replica was sent and did not hold, since the beginning."""
        return self._rows[slot * _ROW + _SENT]

    def head_us(self, slot: int) -> int:
        """When a replica's work on the prompt at the head of its queue began: see `prefix_ttft`."""
        return self._rows[slot * _ROW + _HEAD]

    def set_head_us(self, slot: int, at_us: int) -> None:
        """Note that."""
        self._rows[slot * _ROW + _HEAD] = at_us
