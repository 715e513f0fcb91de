"""Refusals in the words of several engines."""

import pytest

from steelyard.wire.refusals import is_too_long, retry_after_s


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"x","code":"context_length_exceeded"}}',
        b'{"object":"error","message":"This model\'s maximum context length is 4096 tokens.","code":400}',
        b'{"error":{"code":400,"message":"the request exceeds the available context size","type":"invalid"}}',
        b'{"error":{"type":"exceed_context_size_error"}}',
        b'{"message":"Input is longer than the model\'s context length"}',
    ],
)
def test_too_long_is_known_in_several_words(body: bytes) -> None:
    assert is_too_long(400, body)
    assert not is_too_long(500, body)


@pytest.mark.parametrize(
    "body", [b"", b'{"error":{"code":"content_filter"}}', b'{"error":"max_tokens is 0"}']
)
def test_other_refusals_are_none(body: bytes) -> None:
    assert not is_too_long(400, body)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b"7", 7.0),
        (b"0", 0.0),
        (b"Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (b"", None),
        (b"-1", None),
        (b"soon", None),
        (b"1.5", None),
        (b"\xff", None),
        (b"9" * 40, None),
    ],
)
def test_the_time_to_come_back_is_read_in_both_forms(value: bytes, wanted: float | None) -> None:
    assert retry_after_s(value, wall_s=10.0) == wanted
