"""A short run of every fuzz target, and every input that a long run has found."""

import os

import pytest
from tools.fuzz.mutate import fuzz
from tools.fuzz.targets import TARGETS, FoundFault

SECONDS = float(os.environ.get("STEELYARD_FUZZ_SECONDS", "2"))

SEED = int(os.environ.get("STEELYARD_SEED", "1"))

FOUND: list[tuple[str, bytes]] = [
    # Broken UTF-8 in a field that the typed decoder skips, and the other one does not.
    ("event-stream", b'\xef\xbb\xbf: ping\r\rid: 1\rdata:\t {"error\xc3":{"message":"x"}}\r\r'),
]


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found_in_a_short_run(name: str) -> None:
    done, _, found = fuzz(
        name, seconds=SECONDS, count=1_000_000, seed=int(os.environ.get("STEELYARD_SEED", "1"))
    )
    assert found is None, found
    assert done > 200


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_stays_mended(name: str, data: bytes) -> None:
    TARGETS[name](data)


def test_a_fault_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(data: bytes) -> None:
        if b"\0" in data:
            raise FoundFault("a NUL")

    monkeypatch.setitem(TARGETS, "request-head", faulty)
    _, _, found = fuzz("request-head", seconds=10, count=100_000, seed=1)
    assert found is not None
    assert b"\0" in found.data
