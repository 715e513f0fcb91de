"""What engines publish of their KV caches: vLLM's event batches, as msgpack, read without trust.

A batch is [time, events, rank]; an event names blocks by hashes of all tokens up to their end. vLLM writes an
event as an array that begins with its kind, newer releases as a map with a `type`; a hash is a number or 32
bytes. Only blocks in the GPU's memory count, and of engines with several kinds of attention the first group.
Source: vllm/distributed/kv_events.py (its documented wire format), read in releases 0.9 to 0.11 and later.
What is malformed or larger than any engine sends is refused whole, so a liar costs one batch.
"""

from array import array
from dataclasses import dataclass
from typing import Final

import msgspec

MAX_BATCH_BYTES: Final = 16 << 20
MAX_EVENTS: Final = 65_536
MAX_BLOCK_TOKENS: Final = 65_536
_LOW_63: Final = (1 << 63) - 1
_STORED: Final = ("block_hashes", "parent_block_hash", "token_ids", "block_size", "lora_id", "medium",
                  "lora_name", "extra_keys", "group_idx")  # fmt: skip
_REMOVED: Final = ("block_hashes", "medium", "group_idx")


class MalformedEvents(ValueError):
    """A batch that is none."""


@dataclass(frozen=True, slots=True)
class BlocksStored:
    """Blocks that follow one another are in the cache now.

    blocks: hashes that name a block and all before it; parent: the block before the first, 0 for none.
    tokens: of all blocks, `block_tokens` each.
    """

    blocks: tuple[int, ...]
    parent: int
    tokens: "array[int]"
    block_tokens: int


@dataclass(frozen=True, slots=True)
class BlocksRemoved:
    """Blocks are no longer in the cache."""

    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CacheCleared:
    """Nothing is in the cache any more."""


KvEvent = BlocksStored | BlocksRemoved | CacheCleared


def decode_batch(payload: bytes) -> list[KvEvent]:
    """The events of one message, in order; those of other memories left out. Raises MalformedEvents."""
    if len(payload) > MAX_BATCH_BYTES:
        raise MalformedEvents(f"a batch of {len(payload)} bytes: over {MAX_BATCH_BYTES}")
    try:
        batch = msgspec.msgpack.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, MemoryError) as error:
        raise MalformedEvents(f"no msgpack: {error}") from None
    if not isinstance(batch, list) or len(batch) < 2 or not isinstance(batch[1], list):
        raise MalformedEvents("a batch must be [time, events, ...]")
    if len(batch[1]) > MAX_EVENTS:
        raise MalformedEvents(f"{len(batch[1])} events in a batch: over {MAX_EVENTS}")
    events = [_event(each) for each in batch[1]]
    return [event for event in events if event is not None]


def _event(raw: object) -> KvEvent | None:
    if isinstance(raw, list) and raw:
        kind, values = raw[0], raw[1:]
        names = _STORED if kind == "BlockStored" else _REMOVED
        fields = dict(zip(names, values, strict=False))
    elif isinstance(raw, dict):
        kind, fields = raw.get("type"), raw
    else:
        raise MalformedEvents("an event is neither an array nor a map")
    if kind == "AllBlocksCleared":
        return CacheCleared()
    if kind not in ("BlockStored", "BlockRemoved"):
        return None  # a kind that a later release added
    if fields.get("medium") not in (None, "GPU") or fields.get("group_idx") not in (None, 0):
        return None
    blocks = _hashes(fields.get("block_hashes"))
    return _stored(blocks, fields) if kind == "BlockStored" else BlocksRemoved(blocks)


def _stored(blocks: tuple[int, ...], fields: dict[str, object]) -> BlocksStored:
    block_tokens, tokens = fields.get("block_size"), fields.get("token_ids")
    if not isinstance(block_tokens, int) or not 0 < block_tokens <= MAX_BLOCK_TOKENS:
        raise MalformedEvents(f"block_size is {block_tokens!r}")
    if not isinstance(tokens, list) or len(tokens) != len(blocks) * block_tokens:
        raise MalformedEvents(
            f"{len(blocks)} blocks of {block_tokens} tokens do not come with so many tokens"
        )
    parent = fields.get("parent_block_hash")
    try:
        return BlocksStored(blocks, 0 if parent is None else _hash(parent), array("I", tokens), block_tokens)
    except (TypeError, OverflowError):
        raise MalformedEvents("a token is no number of 32 bits") from None


def _hashes(raw: object) -> tuple[int, ...]:
    if not isinstance(raw, list):
        raise MalformedEvents("block_hashes is no array")
    return tuple([_hash(each) for each in raw])


def _hash(raw: object) -> int:
    """A name of 63 bits, never 0."""
    if isinstance(raw, bytes) and len(raw) >= 8:
        raw = int.from_bytes(raw[:8], "big")
    if not isinstance(raw, int):
        raise MalformedEvents("a block's hash is neither a number nor 8 bytes or more")
    return (raw & _LOW_63) or 1
