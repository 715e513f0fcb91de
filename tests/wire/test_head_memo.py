"""A head that was seen means the same again, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.model.errors import BadRequest
from steelyard.wire.head_memo import MAX_KEPT, HeadMemo, HeadReader
from steelyard.wire.http1_head import HEAD_END, RequestHead, parse_request_head

START = b"POST /v1/x HTTP/1.1\r\nHost: a\r\n"


def counted() -> tuple[HeadMemo[RequestHead], list[bytes]]:
    """A memo, and what it had to parse."""
    parsed: list[bytes] = []

    def parse(data: bytes) -> tuple[RequestHead, int]:
        parsed.append(data)
        head = parse_request_head(data)
        return head, head.content_length

    return HeadMemo(parse), parsed


def read(memo: HeadMemo[RequestHead], data: bytes) -> tuple[RequestHead, int]:
    return memo.read(data, data.find(HEAD_END))


def test_only_the_length_may_differ() -> None:
    memo, parsed = counted()
    heads = [START + b"Content-Length: %d\r\nA: b\r\n\r\n" % length for length in (5, 70, 123456)]
    assert [read(memo, head + b"body")[1] for head in heads] == [5, 70, 123456]
    assert len(parsed) == 1
    assert read(memo, heads[0].replace(b"A: b", b"A: c"))[1] == 5
    assert len(parsed) == 2


@pytest.mark.parametrize("digits", [b"", b"+5", b"0x5", b"5 5", b"-1", b"1" * 16, b"5, 5", b"\xb2"])
def test_a_known_head_does_not_excuse_a_bad_length(digits: bytes) -> None:
    memo, _ = counted()
    read(memo, START + b"Content-Length: 5\r\n\r\n")
    with pytest.raises(BadRequest):
        read(memo, START + b"Content-Length: " + digits + b"\r\n\r\n")


def test_a_second_length_is_refused_whatever_is_known() -> None:
    memo, _ = counted()
    read(memo, START + b"Content-Length: 5\r\n\r\n")
    with pytest.raises(BadRequest):
        read(memo, START + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n")


def test_a_field_whose_name_only_ends_alike_keeps_its_value() -> None:
    memo, _ = counted()
    for strength in (b"1", b"22"):
        head, length = read(memo, START + b"X-Strength: " + strength + b"\r\nContent-Length: 3\r\n\r\n")
        assert (head.lines, length) == ([b"X-Strength: " + strength + b"\r\n"], 3)


def test_no_length_and_a_length_without_a_blank_are_told_apart() -> None:
    memo, _ = counted()
    assert read(memo, START + b"\r\n")[1] == -1
    assert read(memo, START + b"Content-Length:7\r\n\r\n")[1] == 7
    assert read(memo, START + b"CONTENT-LENGTH: 8\r\n\r\n")[1] == 8
    assert read(memo, START + b"\r\n")[1] == -1


def test_what_is_kept_has_a_bound() -> None:
    memo, _ = counted()
    for number in range(3 * MAX_KEPT):
        read(memo, START + b"N: %d\r\n\r\n" % number)
        assert len(memo) <= MAX_KEPT
    read(memo, START + b"N: " + b"x" * 8000 + b"\r\n\r\n")
    assert len(memo) <= MAX_KEPT


_names = st.sampled_from(
    [b"Content-Length", b"content-length", b"X-Length", b"Length", b"Transfer-Encoding", b"A"]
)
_values = st.sampled_from([b"1", b"22", b"", b"chunked", b"x", b"1, 1", b" 7"])


@given(st.lists(st.lists(st.tuples(_names, _values), max_size=3), max_size=12))
def test_reads_as_a_parse_would(all_fields: list[list[tuple[bytes, bytes]]]) -> None:
    memo, _ = counted()
    for fields in all_fields:
        data = START + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"
        try:
            fresh = parse_request_head(data)
        except BadRequest:
            with pytest.raises(BadRequest):
                read(memo, data)
            continue
        head, length = read(memo, data)
        assert (head.lines, head.chunked, length) == (fresh.lines, fresh.chunked, fresh.content_length)


@given(
    st.lists(st.lists(st.tuples(_names, _values), max_size=3), max_size=12), st.sampled_from([b"", b"body"])
)
def test_a_connection_reads_its_next_head_as_a_parse_would(
    all_fields: list[list[tuple[bytes, bytes]]], rest: bytes
) -> None:
    memo, _ = counted()
    reader = HeadReader(memo, 10_000)
    for fields in all_fields:
        data = START + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"
        try:
            fresh = parse_request_head(data)
        except BadRequest:
            with pytest.raises(BadRequest):
                reader.read(data + rest)
            continue
        head = reader.read(data + rest)
        assert head is not None
        assert (head.lines, head.chunked, reader.length) == (fresh.lines, fresh.chunked, fresh.content_length)
        assert reader.body_at == len(data)


@pytest.mark.parametrize("digits", [b"", b"+5", b"5 5", b"5,", b"1" * 16, b"5\r\nContent-Length: 6"])
def test_a_connections_known_head_does_not_excuse_a_bad_length(digits: bytes) -> None:
    memo, _ = counted()
    reader = HeadReader(memo, 10_000)
    assert reader.read(START + b"Content-Length: 5\r\n\r\n") is not None
    with pytest.raises(BadRequest):
        reader.read(START + b"Content-Length: " + digits + b"\r\n\r\n")


@pytest.mark.parametrize("digits", [b"7 ", b"7\t", b"\t7", b" 7"])
def test_blanks_round_a_length_are_no_part_of_it(digits: bytes) -> None:
    memo, _ = counted()
    reader = HeadReader(memo, 10_000)
    for written, length in ((b"5", 5), (digits, 7), (b"6", 6)):
        head = START + b"Content-Length: " + written + b"\r\n\r\n"
        assert reader.read(head) is not None
        assert (reader.length, reader.body_at) == (length, len(head))


def test_a_head_that_has_no_end_yet_or_too_late_is_not_read() -> None:
    memo, _ = counted()
    reader = HeadReader(memo, 100)
    assert reader.read(START) is None
    assert reader.read(START + b"A: " + b"x" * 100 + b"\r\n\r\n") is None
    assert reader.read(START + b"\r\n") is not None
    assert reader.read(START) is None


@pytest.mark.parametrize(
    "data", [b"ength: 5\r\n\r\n", b"Content-Length: 5\r\n\r\n", b"\r\nlength: 1\r\n\r\n"]
)
def test_a_length_where_no_field_can_be_is_read_in_full(data: bytes) -> None:
    memo, parsed = counted()
    with pytest.raises(BadRequest):
        HeadReader(memo, 1000).read(data)
    assert parsed == [data]


def test_a_known_head_may_come_in_any_two_pieces() -> None:
    memo, _ = counted()
    reader = HeadReader(memo, 1000)
    data = START + b"Content-Length: 7\r\nA: b\r\n\r\n"
    meaning = reader.read(data)
    for at in range(len(data)):
        assert reader.read(data[:at]) is None
        assert reader.read(data) is meaning
        assert (reader.length, reader.body_at) == (7, len(data))
