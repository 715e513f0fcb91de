"""Which pool is tried next, as tables."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.policies.failure.circuit import Circuit
from steelyard.routing.fallback import Attempts, Chain, Failure, FallbackLimits, Stop, Try

POOLS = ("local", "site", "hosted")


class Case:
    """Attempts over three pools and a larger one."""

    def __init__(self, larger: str = "large", **limits: float) -> None:
        self.circuits = {name: Circuit(failures=2, open_s=5.0, probes=1) for name in (*POOLS, "large")}
        self.chain = Chain(pools=POOLS, larger=larger)
        self.limits = FallbackLimits(**limits)  # type: ignore[arg-type]  # fields by name

    def attempts(self, now_s: float = 0.0, seed: int = 1) -> Attempts:
        return Attempts(self.chain, self.circuits, self.limits, Random(seed), now_s)


PASSED_ON = [
    Failure.UNREACHABLE, Failure.SERVER_ERROR, Failure.NO_HEAD, Failure.NO_FIRST_TOKEN, Failure.BROKEN,
]  # fmt: skip


@pytest.mark.parametrize("failure", PASSED_ON)
def test_a_pools_own_failure_goes_on_to_the_next_pool(failure: Failure) -> None:
    attempts = Case().attempts()
    names = [attempts.first(0.0).pool]
    while isinstance(step := attempts.after(failure, 0.1), Try):
        names.append(step.pool)
    assert tuple(names) == POOLS
    assert (attempts.attempts, step) == (3, Stop("no pool is left"))


@pytest.mark.parametrize("failure", [Failure.CALLER])
def test_a_callers_mistake_is_never_tried_again(failure: Failure) -> None:
    attempts = Case().attempts()
    attempts.first(0.0)
    assert isinstance(attempts.after(failure, 0.1), Stop)


def test_a_prompt_too_long_goes_once_to_the_larger_model() -> None:
    attempts = Case().attempts()
    attempts.first(0.0)
    assert attempts.after(Failure.TOO_LONG, 0.1) == Try("large", 0.0)
    assert attempts.after(Failure.TOO_LONG, 0.2) == Stop("no larger model")
    without = Case(larger="").attempts()
    without.first(0.0)
    assert isinstance(without.after(Failure.TOO_LONG, 0.1), Stop)


def test_a_busy_pool_is_waited_for_once_if_the_wait_is_short() -> None:
    attempts = Case().attempts()
    attempts.first(0.0)
    again = attempts.after(Failure.BUSY, 0.0, retry_after_s=1.0)
    assert isinstance(again, Try)
    assert again.pool == "local"
    assert 1.0 <= again.wait_s <= 1.1
    following = attempts.after(Failure.BUSY, 1.1, retry_after_s=1.0)
    assert isinstance(following, Try)
    assert following.pool == "site"


def test_a_long_wait_is_not_waited_for() -> None:
    attempts = Case().attempts()
    attempts.first(0.0)
    following = attempts.after(Failure.BUSY, 0.0, retry_after_s=30.0)
    assert isinstance(following, Try)
    assert (following.pool, following.wait_s < 0.1) == ("site", True)


def test_being_busy_opens_no_circuit_and_failing_does() -> None:
    case = Case()
    for failure, closed in ((Failure.BUSY, True), (Failure.SERVER_ERROR, False)):
        for _ in range(2):
            attempts = case.attempts()
            attempts.first(0.0)
            attempts.after(failure, 0.0, retry_after_s=60.0)
        assert case.circuits["local"].closed is closed


def test_a_failing_pool_is_stepped_over_then_probed_then_used_again() -> None:
    case = Case()
    for _ in range(2):
        attempts = case.attempts()
        attempts.first(0.0)
        attempts.after(Failure.UNREACHABLE, 0.0)
    assert case.attempts().first(1.0).pool == "site"
    probe = case.attempts()
    assert probe.first(6.0).pool == "local"
    assert case.attempts().first(6.0).pool == "site"
    probe.succeeded()
    assert [case.attempts().first(6.1).pool for _ in range(3)] == ["local"] * 3


def test_with_every_circuit_open_the_first_pool_is_tried() -> None:
    case = Case()
    for circuit in case.circuits.values():
        circuit.failed(0.0)
        circuit.failed(0.0)
    assert case.attempts().first(1.0).pool == "local"


def test_attempts_are_few() -> None:
    attempts = Case(max_attempts=2).attempts()
    attempts.first(0.0)
    assert isinstance(attempts.after(Failure.BROKEN, 0.0), Try)
    assert attempts.after(Failure.BROKEN, 0.0) == Stop("2 attempts were made")


def test_time_is_bounded_also_against_a_wait() -> None:
    attempts = Case(total_timeout_s=5.0).attempts()
    attempts.first(0.0)
    assert attempts.after(Failure.BUSY, 4.0, retry_after_s=1.5) == Stop("5 s are over")


def test_waits_grow_and_are_jittered() -> None:
    waits = []
    for seed in range(50):
        attempts = Case().attempts(seed=seed)
        attempts.first(0.0)
        steps = [attempts.after(Failure.BROKEN, 0.0) for _ in range(2)]
        waits.append([step.wait_s for step in steps if isinstance(step, Try)])
    assert all(0.025 <= first <= 0.05 and 0.05 <= second <= 0.1 for first, second in waits)
    assert len({first for first, _ in waits}) == 50


@given(st.lists(st.tuples(st.sampled_from(Failure), st.floats(0, 3), st.one_of(st.none(), st.floats(0, 90)))))
def test_tries_are_always_bounded_and_never_go_back(steps: list[tuple[Failure, float, float | None]]) -> None:
    attempts, now_s = Case().attempts(), 0.0
    attempts.first(now_s)
    for failure, took_s, retry_after_s in steps:
        step = attempts.after(failure, now_s + took_s, retry_after_s)
        if isinstance(step, Stop):
            break
        now_s += took_s + step.wait_s
    assert attempts.attempts <= 4
    assert now_s <= 60.0
    assert all(attempts.tried.count(pool) <= 2 for pool in POOLS)
