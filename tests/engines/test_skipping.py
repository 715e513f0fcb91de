"""Skipping ahead gives what stepping token by token gives."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.engines.batching import BatchingEngine, Sequence
from steelyard.engines.profiles import EngineProfile
from steelyard.engines.skipping import SkippingEngine
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
# Arrivals in units of 0.1 ms, of which every step is a multiple.
ARRIVALS = st.lists(
    st.tuples(st.integers(1, 30_000), st.integers(1, 150), st.integers(1, 60), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)


def sequence(number: int, prompt_tokens: int, output_tokens: int, group: int) -> Sequence:
    blocks = tuple(group * 1000 + at for at in range(prompt_tokens // 16)) if group else ()
    return Sequence(
        sequence_id=number, prompt_tokens=prompt_tokens, output_tokens=output_tokens, prefix_hashes=blocks
    )


Seen = dict[tuple[int, str], float]


def stepped(arrivals: list[tuple[float, int, int, int]]) -> tuple[Seen, int]:
    engine = TimedEngine(BatchingEngine(SMALL, block_tokens=16))
    seen: Seen = {}

    def note(until_s: float) -> None:
        for token in engine.advance(until_s):
            if token.first:
                seen[token.sequence.sequence_id, "first"] = token.at_s
            if token.finished:
                seen[token.sequence.sequence_id, "end"] = token.at_s

    for number, (at_s, prompt, output, group) in enumerate(arrivals):
        note(at_s)
        engine.submit(sequence(number, prompt, output, group), at_s)
    note(1e6)
    return seen, engine.batching.preemptions


def skipped(arrivals: list[tuple[float, int, int, int]]) -> tuple[Seen, int]:
    engine = SkippingEngine(BatchingEngine(SMALL, block_tokens=16))
    seen: Seen = {}

    def note(until_s: float) -> None:
        for milestone in engine.advance(until_s):
            if milestone.first:
                seen[milestone.sequence.sequence_id, "first"] = milestone.at_s
            if milestone.finished:
                seen[milestone.sequence.sequence_id, "end"] = milestone.at_s

    for number, (at_s, prompt, output, group) in enumerate(arrivals):
        note(at_s)
        engine.submit(sequence(number, prompt, output, group), at_s)
    note(1e6)
    return seen, engine.batching.preemptions


@given(ARRIVALS)
def test_gives_the_same_times_as_stepping(drawn: list[tuple[int, int, int, int]]) -> None:
    # Each a microsecond off the others, so that none falls on the border of another's step by rounding.
    arrivals = [
        (units * 1e-4 + number * 1e-6, prompt, output, group)
        for number, (units, prompt, output, group) in enumerate(sorted(drawn), start=1)
    ]
    expected, preemptions = stepped(arrivals)
    found, preempted = skipped(arrivals)
    assert len(expected) == 2 * len(arrivals)
    assert found == {key: pytest.approx(at_s, abs=1e-6) for key, at_s in expected.items()}
    assert preempted == preemptions


def test_a_long_answer_alone_is_two_events() -> None:
    engine = SkippingEngine(BatchingEngine(SMALL, block_tokens=16))
    engine.submit(sequence(1, 10, 100, 0), now_s=0.0)
    (first,) = engine.advance(engine.next_event_s)
    assert (first.first, first.finished) == (True, False)
    # 99 more tokens at 0.011 s a step.
    assert engine.next_event_s == pytest.approx(first.at_s + 99 * 0.011)
    (end,) = engine.advance(engine.next_event_s)
    assert (end.first, end.finished) == (False, True)
    assert engine.next_event_s == math.inf


def test_a_cancelled_sequence_gives_no_more_and_the_others_go_on() -> None:
    engine = SkippingEngine(BatchingEngine(SMALL, block_tokens=16))
    gone, stays = sequence(1, 10, 100, 0), sequence(2, 10, 50, 0)
    engine.submit(gone, now_s=0.0)
    engine.submit(stays, now_s=0.0)
    engine.advance(0.1)
    engine.cancel(gone, now_s=0.1)
    ended = [milestone for milestone in engine.advance(100.0) if milestone.finished]
    assert [milestone.sequence for milestone in ended] == [stays]
    assert engine.batching.cache.running_tokens == 0
