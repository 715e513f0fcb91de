"""The fleet of misbehaving engines that the fault tests share."""

from collections.abc import Iterator

import pytest
from tests.end_to_end.fault_fleet import FaultFleet, fault_fleet
from tests.end_to_end.stream_fleet import WHOLE, gateway_to
from tests.harness.chaos_engine import GOOD_BODY, ChaosEngine, chaos_engines
from tests.harness.processes import Running, metrics, wait_until
from tests.harness.raw_client import ask, post

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultFleet]:
    with fault_fleet(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture
def fleet(faults: FaultFleet) -> Iterator[FaultFleet]:
    """The fleet, calm before and unharmed after."""
    faults.calm()
    yield faults
    faults.calm()
    for path in ("/one", "/two", "/two"):
        answer = ask(faults.url, post(path + CHAT))
        assert (answer.status, answer.body, answer.whole) == (200, GOOD_BODY, True)
    in_flight = "steelyard_replica_requests_in_flight{"
    wait_until(
        lambda: all(value == 0 for name, value in metrics(faults.front).items() if name.startswith(in_flight))
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, list[ChaosEngine]]]:
    """A gateway before two engines that behave as a test tells them to."""
    with (
        chaos_engines(WHOLE, WHOLE) as both,
        gateway_to(tmp_path_factory.mktemp("kept"), *(each.url for each in both), between_s=0.5) as front,
    ):
        yield front, both
