"""Cache events as engines write them, and as nobody should."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.engines.kv_events import (
    BlocksRemoved,
    BlocksStored,
    CacheCleared,
    KvEvent,
    MalformedEvents,
    decode_batch,
)


def batch(*events: object) -> bytes:
    return msgspec.msgpack.encode([1.5, list(events), 0])


def decoded(*events: object) -> list[KvEvent]:
    return decode_batch(batch(*events))


def test_reads_arrays_as_vllm_writes_them() -> None:
    said = decoded(
        ["BlockStored", [7, 8], None, [1, 2, 3, 4], 2, None, "GPU"],
        ["BlockRemoved", [7], "GPU"],
        ["AllBlocksCleared"],
    )
    assert isinstance(said[0], BlocksStored)
    assert (said[0].blocks, said[0].parent, list(said[0].tokens), said[0].block_tokens) == (
        (7, 8), 0, [1, 2, 3, 4], 2,
    )  # fmt: skip
    assert said[1:] == [BlocksRemoved((7,)), CacheCleared()]


def test_reads_maps_and_hashes_of_bytes_as_newer_releases_write_them() -> None:
    name = bytes(range(1, 33))
    fields = {"parent_block_hash": name, "token_ids": [5], "block_size": 1, "lora_id": None, "medium": "GPU"}
    said = decoded({"type": "BlockStored", "block_hashes": [name], **fields, "later": 1})
    assert isinstance(said[0], BlocksStored)
    assert said[0].blocks == (said[0].parent,)
    assert 0 < said[0].parent < 1 << 63


def test_other_memories_other_groups_and_later_kinds_say_nothing() -> None:
    other = ["BlockStored", [7], None, [1], 1, None, "CPU"]
    group = {"type": "BlockRemoved", "block_hashes": [7], "medium": "GPU", "group_idx": 1}
    assert decoded(other, group, ["BlockMoved", 3]) == []


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xdd\xff\xff\xff\xff",  # an array of four billion, which does not come
        b"\x91" * 100_000,  # arrays in arrays
        msgspec.msgpack.encode("text"),
        msgspec.msgpack.encode([1.0]),
        msgspec.msgpack.encode([1.0, [0] * 70_000]),
        batch(3),
        batch(["BlockStored"]),
        batch(["BlockStored", ["x"], None, [1], 1]),
        batch(["BlockStored", [b"short"], None, [1], 1]),
        batch(["BlockStored", [1], None, [1, 2], 1]),
        batch(["BlockStored", [1], None, [-1], 1]),
        batch(["BlockStored", [1], None, ["x"], 1]),
        batch(["BlockStored", [1], None, [1], 0]),
        batch(["BlockStored", [1], None, [1], 1 << 40]),
        batch(["BlockRemoved", 3]),
    ],
)
def test_refuses_what_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedEvents):
        decode_batch(payload)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    try:
        decode_batch(payload)
    except MalformedEvents:
        pass
