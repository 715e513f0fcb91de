"""Rate limits: exact in one worker, held over several, truthful about when to come again."""

import math
from random import Random

import pytest

from steelyard.policies.admission.limiter import REFUSED, ROW_WORDS, RUNNING, TOKENS, Limiter, Refusal
from steelyard.policies.admission.token_bucket import TokenBucket


def row() -> list[int]:
    return [0] * ROW_WORDS


def refused(limiter: Limiter, tokens: int, now_s: float) -> Refusal:
    refusal = limiter.admit(tokens, now_s)
    assert refusal is not None
    return refusal


def test_a_minutes_requests_pass_at_once_and_then_one_at_the_rate() -> None:
    limiter = Limiter(requests_per_min=60, own=row(), now_s=100.0)
    assert all(limiter.admit(1, 100.0) is None for _ in range(60))
    refusal = refused(limiter, 1, 100.0)
    assert (refusal.limited, refusal.limit) == ("requests", 60)
    assert refusal.retry_after_s == pytest.approx(1.0)
    assert limiter.admit(1, 100.99) is not None
    assert limiter.admit(1, 101.0) is None


def test_tokens_are_reserved_and_what_was_not_used_comes_back() -> None:
    own = row()
    limiter = Limiter(tokens_per_min=1000, own=own, now_s=0.0)
    assert limiter.admit(900, 0.0) is None
    assert refused(limiter, 200, 0.0).limited == "tokens"
    limiter.settle(reserved=900, used=100, ran_s=1.0)
    assert own[TOKENS] == 100
    assert limiter.admit(900, 0.0) is None
    assert own[REFUSED] == 1


def test_a_demand_above_a_whole_burst_waits_for_a_full_bucket_and_leaves_a_debt() -> None:
    limiter = Limiter(tokens_per_min=600, own=row(), now_s=0.0)
    assert limiter.admit(1200, 0.0) is None
    # 600 in debt: 60 s to 0, and 10 s for the next 100.
    assert refused(limiter, 100, 0.0).retry_after_s == pytest.approx(70.0)


def test_concurrency_counts_what_runs_and_nothing_else() -> None:
    own = row()
    limiter = Limiter(max_running=2, own=own, now_s=0.0)
    assert limiter.admit(1, 0.0) is None
    assert limiter.admit(1, 0.0) is None
    assert refused(limiter, 1, 0.0).limited == "concurrency"
    limiter.settle(1, 1, ran_s=0.5)
    assert limiter.admit(1, 0.0) is None
    limiter.undo(1)
    assert own[RUNNING] == 1


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_a_limit_holds_over_all_workers(workers: int) -> None:
    rows = [row() for _ in range(workers)]
    limiters = [
        Limiter(requests_per_min=600, own=own, others=[each for each in rows if each is not own], now_s=0.0)
        for own in rows
    ]
    rng, admitted = Random(3), 0
    for step in range(60_000):  # 1,000 a second for a minute, at random workers
        admitted += rng.choice(limiters).admit(1, step / 1000) is None
    # One burst of 600 and a minute's 600; within the refresh time each worker may admit one more.
    assert 1195 <= admitted <= 1200 + workers


def test_a_worker_that_starts_takes_over_the_level_not_a_fresh_burst() -> None:
    old, new = row(), row()
    first = Limiter(requests_per_min=60, own=old, now_s=1.0)
    assert all(first.admit(1, 1.0) is None for _ in range(60))
    second = Limiter(requests_per_min=60, own=new, others=[old], now_s=3.0)
    assert [second.admit(1, 3.0) is None for _ in range(3)] == [True, True, False]


def test_retry_after_is_the_earliest_time_that_works() -> None:
    rng = Random(5)
    for _ in range(200):
        rate = rng.choice([60, 600, 12_345])
        limiter = Limiter(tokens_per_min=rate, own=row(), now_s=0.0)
        now_s = 0.0
        tokens = rng.randrange(1, rate // 2)
        while (refusal := limiter.admit(tokens, now_s)) is None:
            now_s += 0.001
        after_s = refusal.retry_after_s
        assert limiter.admit(tokens, now_s + after_s * 0.99 - 1e-6) is not None
        assert limiter.admit(tokens, now_s + after_s + 1e-6) is None


def test_the_state_says_what_is_left() -> None:
    limiter = Limiter(requests_per_min=60, tokens_per_min=6000, own=row(), now_s=0.0)
    limiter.admit(1000, 0.0)
    state = limiter.state(0.0)
    assert (state.request_limit, state.requests_left) == (60, 59)
    assert (state.token_limit, state.tokens_left) == (6000, 5000)
    assert state.requests_reset_s == pytest.approx(1.0)
    assert state.tokens_reset_s == pytest.approx(10.0)


def test_time_that_steps_back_is_no_time() -> None:
    bucket = TokenBucket(1.0, 10.0, 100.0)
    bucket.take(10)
    assert bucket.fill(50.0) == 0.0
    assert bucket.fill(101.0) == 1.0
    assert math.isclose(bucket.wait_s(3, 101.0), 2.0)
