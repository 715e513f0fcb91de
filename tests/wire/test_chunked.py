"""The chunked coding: split anywhere it reads the same, and what breaks it is refused."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.wire.chunked import LAST_CHUNK, ChunkedReader, MalformedChunk, chunk


@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=6),
    st.lists(st.integers(min_value=0, max_value=400), max_size=8),
    st.binary(max_size=10),
)
def test_reads_the_same_however_it_is_split(payloads: list[bytes], cuts: list[int], after: bytes) -> None:
    data = b"".join(map(chunk, payloads)) + LAST_CHUNK + after
    reader = ChunkedReader()
    read = rest = b""
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, stop in pairwise(borders):
        if reader.done:
            rest += data[start:stop]
        else:
            read += reader.feed(data[start:stop])
            rest = reader.rest
    assert reader.done
    assert read == b"".join(payloads)
    assert rest == after


def test_trailers_and_extensions_are_dropped() -> None:
    reader = ChunkedReader()
    assert reader.feed(b"3;a=b\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\nnext") == b"abc"
    assert (reader.done, reader.rest) == (True, b"next")


def test_extensions_may_weigh_as_much_as_their_payload_and_some_more() -> None:
    line = b"%x;signature=" + b"0" * 64 + b"\r\n"
    signed = (line % 65_536 + b"x" * 65_536 + b"\r\n") * 1000
    reader = ChunkedReader()
    assert len(reader.feed(signed)) == 65_536_000
    with pytest.raises(MalformedChunk, match="extensions"):
        ChunkedReader().feed((line % 1 + b"x\r\n") * 1000)


BROKEN = [
    b"+3\r\nabc\r\n", b"0x3\r\nabc\r\n", b" 3\r\nabc\r\n", b"3 \r\nabc\r\n", b"3_0\r\nabc\r\n",
    b"\r\nabc", b"g\r\n", b"-1\r\n", b"3\nabc\r\n", b"3\r\nabcd\r\n", b"3\r\nabc\n", b"f" * 17 + b"\r\n",
    b"3;a\rb\r\nabc\r\n", b"1;" + b"x" * 5000, b"0\r\n" + b"X: y\r\n" * 2000,
]  # fmt: skip


@pytest.mark.parametrize("data", BROKEN)
def test_refuses_what_another_reader_could_read_differently(data: bytes) -> None:
    with pytest.raises(MalformedChunk):
        ChunkedReader().feed(data)


def is_read(data: bytes) -> bool:
    reader = ChunkedReader()
    try:
        return reader.feed(data) == b"abcde" and reader.done
    except MalformedChunk:
        return False


TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
IN_VALUES = frozenset((9, *range(0x20, 0x7F), *range(0x80, 0x100)))


@pytest.mark.parametrize(
    ("start", "end", "good"),
    [
        (b"5", b"\r\nabcde\r\n0\r\n\r\n", frozenset[int]()),
        (b"", b"5\r\nabcde\r\n0\r\n\r\n", frozenset(b"0")),
        (b"5;a", b"b\r\nabcde\r\n0\r\n\r\n", TOKEN | frozenset(b";=")),
        (b'5;a="', b'"\r\nabcde\r\n0\r\n\r\n', IN_VALUES - frozenset(b'"\\')),
        (b"5\r\nabcde", b"\n0\r\n\r\n", frozenset(b"\r")),
        (b"5\r\nabcde\r", b"0\r\n\r\n", frozenset(b"\n")),
        (b"5\r\nabcde\r\n0\r\nX: a", b"b\r\n\r\n", IN_VALUES),
        (b"5\r\nabcde\r\n0\r\nX", b"Y: b\r\n\r\n", TOKEN | {ord(":")}),
    ],
    ids=["size", "before", "extension", "quoted", "CR", "LF", "trailer", "trailer-name"],
)
def test_every_byte_is_read_or_refused_where_it_stands(
    start: bytes, end: bytes, good: frozenset[int]
) -> None:
    assert {byte for byte in range(256) if is_read(start + bytes([byte]) + end)} == good


@given(st.binary(max_size=100))
def test_any_bytes_give_payload_or_a_refusal(data: bytes) -> None:
    try:
        assert len(ChunkedReader().feed(data)) <= len(data)
    except MalformedChunk:
        pass
