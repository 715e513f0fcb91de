"""A circuit opens after failures in a row, is probed gently, and closes when the pool has recovered."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.policies.failure.circuit import Circuit


def opened(at_s: float = 0.0) -> Circuit:
    circuit = Circuit(failures=3, open_s=2.0, max_open_s=10.0, probes=2, probe_timeout_s=30.0)
    for _ in range(3):
        assert circuit.may_try(at_s)
        circuit.failed(at_s)
    return circuit


def test_it_opens_after_failures_in_a_row_only() -> None:
    circuit = Circuit(failures=3)
    for _ in range(10):
        circuit.failed(0.0)
        circuit.failed(0.0)
        circuit.succeeded()
    assert circuit.may_try(0.0)
    assert not opened().may_try(1.9)


def test_half_open_lets_one_through_at_a_time() -> None:
    circuit = opened()
    assert [circuit.may_try(2.0) for _ in range(3)] == [True, False, False]
    circuit.succeeded()
    assert [circuit.may_try(2.1) for _ in range(2)] == [True, False]
    circuit.succeeded()
    assert circuit.closed
    assert all(circuit.may_try(2.2) for _ in range(5))


def test_each_failed_probe_keeps_it_open_for_longer_up_to_a_limit() -> None:
    circuit, now_s = opened(), 0.0
    for open_s in (2.0, 4.0, 8.0, 10.0, 10.0):
        assert not circuit.may_try(now_s + open_s - 0.01)
        now_s += open_s
        assert circuit.may_try(now_s)
        circuit.failed(now_s)


def test_a_probe_that_never_ends_gives_its_place_up() -> None:
    circuit = opened()
    assert circuit.may_try(2.0)
    assert not circuit.may_try(31.9)
    assert circuit.may_try(32.0)


def test_failures_of_requests_sent_before_it_opened_do_not_count_again() -> None:
    circuit = opened()
    for _ in range(100):
        circuit.failed(0.5)
    assert circuit.may_try(2.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=60))
def test_it_never_closes_for_good(steps: list[tuple[float, bool]]) -> None:
    circuit, now_s = Circuit(), 0.0
    for pause_s, good in steps:
        now_s += pause_s
        if circuit.may_try(now_s):
            circuit.succeeded() if good else circuit.failed(now_s)
    assert circuit.may_try(now_s + 60.0)
