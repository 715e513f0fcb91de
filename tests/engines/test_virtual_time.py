"""An engine in virtual time, as a simulator drives it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.engines.batching import BatchingEngine, Sequence
from steelyard.engines.profiles import EngineProfile
from steelyard.engines.virtual_time import TimedEngine

SMALL = EngineProfile(
    name="small",
    summary="",
    step_s=0.01,
    sequence_s=0.001,
    prefill_token_s=0.0001,
    kv_tokens=300,
    max_batch=4,
    chunk_tokens=64,
)


def sequence(number: int, prompt_tokens: int, output_tokens: int) -> Sequence:
    return Sequence(sequence_id=number, prompt_tokens=prompt_tokens, output_tokens=output_tokens)


def test_an_idle_engine_has_no_event_and_a_busy_one_the_end_of_its_step() -> None:
    engine = TimedEngine(BatchingEngine(SMALL, block_tokens=16))
    assert engine.next_event_s == math.inf
    engine.submit(sequence(1, 10, 1), now_s=5.0)
    # 0.01 s a step, 0.001 s for the sequence, 0.0001 s for each of ten prompt tokens.
    assert engine.next_event_s == pytest.approx(5.012)
    assert engine.advance(5.0119) == []
    (only,) = engine.advance(6.0)
    assert only.at_s == pytest.approx(5.012)
    assert (only.first, only.finished) == (True, True)
    assert engine.next_event_s == math.inf


ARRIVALS = st.lists(
    st.tuples(st.integers(0, 500), st.integers(1, 150), st.integers(1, 60)), min_size=1, max_size=10
)


@given(ARRIVALS, st.integers(1, 97))
def test_tokens_come_in_order_of_time_each_once_whatever_the_strides(
    arrivals: list[tuple[int, int, int]], stride_ms: int
) -> None:
    """Stepping from event to event and striding over many must tell the same story."""
    stories = []
    for strides in (False, True):
        engine = TimedEngine(BatchingEngine(SMALL, block_tokens=16))
        story, now_s = [], 0.0
        for number, (at_ms, prompt_tokens, output_tokens) in enumerate(sorted(arrivals)):
            while not strides and engine.next_event_s <= at_ms / 1e3:
                story += engine.advance(engine.next_event_s)
            while strides and now_s + stride_ms / 1e3 < at_ms / 1e3:
                now_s += stride_ms / 1e3
                story += engine.advance(now_s)
            story += engine.advance(at_ms / 1e3)
            engine.submit(sequence(number, prompt_tokens, output_tokens), at_ms / 1e3)
        while engine.next_event_s < math.inf:
            story += engine.advance(1e9 if strides else engine.next_event_s)
        stories.append([(each.at_s, each.sequence.sequence_id, each.index, each.finished) for each in story])
    story_by_event, story_by_stride = stories
    assert story_by_event == story_by_stride
    assert [at_s for at_s, *_ in story_by_event] == sorted(at_s for at_s, *_ in story_by_event)
    for number, (_, _, output_tokens) in enumerate(sorted(arrivals)):
        own = [(index, finished) for _, each, index, finished in story_by_event if each == number]
        assert own == [(index, index == output_tokens - 1) for index in range(output_tokens)]


def test_a_cancelled_sequence_gives_no_more_and_the_engine_falls_idle() -> None:
    engine = TimedEngine(BatchingEngine(SMALL, block_tokens=16))
    leaving = sequence(1, 10, 100)
    engine.submit(leaving, now_s=0.0)
    assert engine.advance(0.1)
    engine.cancel(leaving)
    assert engine.advance(9.0) == []
    assert engine.next_event_s == math.inf
    assert engine.batching.cache.running_tokens == 0


def test_submitting_past_a_step_that_ended_is_refused() -> None:
    engine = TimedEngine(BatchingEngine(SMALL, block_tokens=16))
    engine.submit(sequence(1, 10, 5), now_s=0.0)
    with pytest.raises(ValueError, match="advance before submitting"):
        engine.submit(sequence(2, 10, 5), now_s=1.0)
