"""Tables that are derived from what they become."""

from dataclasses import dataclass

import msgspec
import pytest

from steelyard.jobs.written import Written, WrittenForm
from steelyard.model.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Lease:
    holder: str
    length_s: float = 5.0
    log_bytes: float = 1e6
    rate_bytes_per_s: float = 0.0
    end_s: float | None = None
    share: float = 1.0
    tries: int = 3
    secret: str = ""


LEASE = WrittenForm(Lease, {"tries": Written("attempts", int)}, unwritten=("secret",))


@LEASE.complete
class LeaseTable(msgspec.Struct, kw_only=True):
    """A lease, and a note."""

    note: str = ""


def read(table: dict[str, object]) -> Lease:
    return Lease(**LEASE.read(msgspec.convert(table, LeaseTable)))


def test_an_amount_has_its_unit_beside_its_value() -> None:
    written = {"holder": "a", "length": "2m", "log": "1MiB", "rate": "3kB/s", "end": 7, "attempts": 1}
    assert read(written) == Lease(
        holder="a", length_s=120, log_bytes=2**20, rate_bytes_per_s=3000, end_s=7, tries=1
    )


def test_what_nobody_wrote_is_as_the_class_says() -> None:
    assert read({"holder": "a", "note": "b"}) == Lease(holder="a")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "missing required field `holder`"),
        ({"holder": 1}, r"Expected `str`, got `int` - at `\$.holder`"),
        ({"holder": "a", "length": []}, r"Expected `float \| str`, got `array` - at `\$.length`"),
        ({"holder": "a", "length": "soon"}, "length is 'soon': write"),
        ({"holder": "a", "share": float("nan")}, "share is nan: it must be a finite number"),
        ({"holder": "a", "attempts": "x"}, r"Expected `int`, got `str` - at `\$.attempts`"),
        ({"holder": "a", "tries": 1}, "unknown field `tries`"),
        ({"holder": "a", "length_s": 1}, "unknown field `length_s`"),
        ({"holder": "a", "secret": "b"}, "unknown field `secret`"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_table(table: dict[str, object], says: str) -> None:
    with pytest.raises((msgspec.ValidationError, ConfigError), match=says):
        read(table)
