"""Events off a byte stream: split anywhere they are the same, and none is without end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.wire.sse import EventTooLong, SseSplitter, event, event_data


def read(pieces: list[bytes]) -> list[bytes]:
    splitter = SseSplitter()
    found = [event_data(each) for piece in pieces for each in splitter.feed(piece)]
    return [data for data in found if data is not None]


STREAMS: list[tuple[bytes, list[bytes]]] = [
    (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    (b"data: a\n\r\ndata: b\r\n\ndata: c\n\r", [b"a", b"b", b"c"]),
    (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    (b": ping\n\n: ping\r\n\r\ndata: a\n\n", [b"a"]),
    (b"event: x\nid: 7\ndata: a\nretry: 5\n\n", [b"a"]),
    (b"data: a\ndata: b\n\n", [b"a\nb"]),
    (b"data:a\ndata:  b\n\n", [b"a\n b"]),
    (b"data\n\n", [b""]),
    (b"datax: a\n\n", []),
    (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [b"a", b"b"]),
    (b"data: whole\n\ndata: half\n", [b"whole"]),
    ("data: café ☕\n\n".encode(), ["café ☕".encode()]),
]


@pytest.mark.parametrize(("stream", "wanted"), STREAMS)
def test_reads_what_the_standard_says(stream: bytes, wanted: list[bytes]) -> None:
    assert read([stream]) == wanted
    assert read([bytes([byte]) for byte in stream]) == wanted


PARTS = [b"data: a", b"\n", b"\r", b"\r\n", b": c", b"data:", b"\n\n", "é".encode(), b" "]


@given(st.lists(st.sampled_from(PARTS)), st.lists(st.integers(0, 60), max_size=6))
def test_split_anywhere_reads_as_whole(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    borders = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:stop] for start, stop in pairwise(borders)]
    assert read(pieces) == read([stream])


def test_what_is_held_back_is_known() -> None:
    splitter = SseSplitter()
    held = [(splitter.feed(piece), splitter.pending) for piece in (b"data: a\n", b"\n")]
    assert held == [([], True), ([b"data: a"], False)]
    assert event(b"a") == b"data: a\n\n"


@pytest.mark.parametrize(
    ("end", "torn"),
    [
        (b"", False),
        (b"\n", False),
        (b"\r\n", False),
        (b"data: [DONE]", False),
        (b"data:[DONE]\n", False),
        (b"data: [DONE", True),
        (b"data: {}\n", True),
        (b": c", True),
        (b"d", True),
    ],
)
def test_an_end_inside_an_event_is_told_from_a_whole_one(end: bytes, torn: bool) -> None:
    splitter = SseSplitter()
    splitter.feed(b"data: a\n\n")
    splitter.feed(end)
    assert splitter.torn is torn


def test_an_event_without_end_is_not_kept() -> None:
    splitter = SseSplitter(limit_bytes=1000)
    for _ in range(50):
        splitter.feed(b"data: " + b"x" * 14)
    with pytest.raises(EventTooLong, match="longer than 1000 bytes"):
        splitter.feed(b"x")


def test_many_small_pieces_of_a_large_event_take_linear_time() -> None:
    splitter = SseSplitter()
    for _ in range(200_000):  # quadratic copying would take minutes
        assert splitter.feed(b"xxxx") == []
    assert len(splitter.feed(b"\n\n")[0]) == 800_000
