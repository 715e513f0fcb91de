"""Logs in pieces: characters stay whole wherever the bytes are cut."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.jobs.log_text import begun_before, text_of


def in_pieces(data: bytes, piece_bytes: int) -> str:
    """As a reader asks: from an offset, a piece at a time, until there is no more text."""
    text, offset = "", 0
    while True:
        piece = data[offset : offset + piece_bytes]
        more, taken = text_of(piece, complete=offset + len(piece) >= len(data))
        if not more:
            return text
        text, offset = text + more, offset + taken


@given(text=st.text(), piece_bytes=st.integers(4, 9))
def test_text_in_pieces_is_the_text(text: str, piece_bytes: int) -> None:
    assert in_pieces(text.encode(), piece_bytes) == text


@given(data=st.binary(), piece_bytes=st.integers(4, 9))
def test_bytes_that_are_no_text_end_and_show_as_they_do_in_one_piece(data: bytes, piece_bytes: int) -> None:
    assert in_pieces(data, piece_bytes) == data.decode(errors="replace")


def test_half_a_character_waits_for_its_other_half() -> None:
    assert text_of(b"caf\xc3", complete=False) == ("caf", 3)
    assert text_of(b"\xc3", complete=False) == ("", 0)
    assert text_of(b"\xc3\xa9", complete=False) == ("é", 2)
    assert text_of(b"caf\xc3", complete=True) == ("caf\N{REPLACEMENT CHARACTER}", 4)


@given(text=st.text(), cut=st.integers(0, 40))
def test_a_tail_begins_with_a_whole_character(text: str, cut: int) -> None:
    tail = text.encode()[cut:]
    assert text.endswith(tail[begun_before(tail) :].decode())
