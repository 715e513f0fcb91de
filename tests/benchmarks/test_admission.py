"""What admission costs: the benchmark's worker serves requests, whatever it is measured with."""

import gc
from collections.abc import Iterator

import pytest

from benchmarks import admission


@pytest.fixture
def collector() -> Iterator[None]:
    """The benchmark sets the garbage collector as workers do."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("collector")
def test_every_step_serves_requests_and_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "REQUESTS", 2)
    monkeypatch.setattr(admission, "ROUNDS", 1)
    lines = [line.split(" | ")[0] for line in admission.run([]).splitlines() if line.startswith("| ")]
    assert lines == ["| on", *(f"| {name}" for name in admission.STEPS)]
