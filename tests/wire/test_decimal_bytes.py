"""Whole numbers as decimal bytes."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.wire.decimal_bytes import KEPT, MAX_DIGITS, decimal, digits_from


@given(st.integers(0, 10**MAX_DIGITS - 1) | st.integers(KEPT - 2, KEPT + 2))
def test_what_is_written_is_read(number: int) -> None:
    written = decimal(number)
    assert written == str(number).encode()
    assert digits_from(b"x" + written + b"\r", 1) == (number, 1 + len(written))
    assert digits_from(written, 0) == (number, len(written))


@given(st.binary(max_size=3), st.binary(max_size=20))
def test_reads_the_digits_that_are_there(before: bytes, data: bytes) -> None:
    digits = data[: len(data) - len(data.lstrip(b"0123456789"))]
    number, end = digits_from(before + data, len(before))
    if 0 < len(digits) <= MAX_DIGITS:
        assert (number, end) == (int(digits), len(before) + len(digits))
    else:
        assert number == -1
