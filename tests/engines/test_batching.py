"""The batching model in virtual time."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.engines.batching import BatchingEngine, Sequence
from steelyard.engines.profiles import PROFILES, EngineProfile

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


def run(engine: BatchingEngine, sequences: list[Sequence]) -> tuple[float, dict[int, int]]:
    """Run to the end; (seconds, tokens given to each)."""
    for sequence in sequences:
        engine.submit(sequence)
    now_s, tokens = 0.0, dict.fromkeys((each.sequence_id for each in sequences), 0)
    while (step := engine.next_step()) is not None:
        now_s += step.duration_s
        for sequence in engine.finish_step(step):
            tokens[sequence.sequence_id] += 1
        assert engine.cache.running_tokens <= engine.cache.capacity_tokens
        assert engine.cache.running_tokens + engine.cache.kept_tokens <= engine.cache.capacity_tokens
    return now_s, tokens


SIZES = st.lists(st.tuples(st.integers(1, 150), st.integers(1, 120)), min_size=1, max_size=12)


def sequences_of(sizes: list[tuple[int, int]]) -> list[Sequence]:
    """Sequences in two families of prompts that begin alike."""
    return [
        Sequence(
            sequence_id=number,
            prompt_tokens=prompt,
            output_tokens=output,
            # One hash more than a prompt of 150 has blocks: the engine must not take it at its word.
            prefix_hashes=tuple(range(100 * (number % 2), 100 * (number % 2) + 10)),
        )
        for number, (prompt, output) in enumerate(sizes)
    ]


@given(SIZES)
def test_every_sequence_gets_each_of_its_tokens_once_however_tight_memory_is(
    sizes: list[tuple[int, int]],
) -> None:
    engine = BatchingEngine(SMALL, block_tokens=16)
    _, tokens = run(engine, sequences_of(sizes))
    assert tokens == {number: output for number, (_, output) in enumerate(sizes)}
    assert engine.cache.running_tokens == 0


@given(SIZES, st.data())
def test_cancelling_at_any_time_harms_no_other_sequence(
    sizes: list[tuple[int, int]], data: st.DataObject
) -> None:
    engine = BatchingEngine(SMALL, block_tokens=16)
    sequences = sequences_of(sizes)
    doomed_count = data.draw(st.integers(0, len(sequences)), label="doomed")
    doomed = sequences[:doomed_count]
    for sequence in sequences:
        engine.submit(sequence)
    tokens = dict.fromkeys(range(len(sequences)), 0)
    cancelled: set[int] = set()
    while (step := engine.next_step()) is not None:
        now = bool(doomed) and data.draw(st.booleans(), label="cancel one now")
        if now:
            leaving = doomed.pop()
            engine.cancel(leaving)
            cancelled.add(leaving.sequence_id)
        for sequence in engine.finish_step(step):
            assert sequence.sequence_id not in cancelled
            tokens[sequence.sequence_id] += 1
        cache = engine.cache
        assert 0 <= cache.running_tokens <= cache.running_tokens + cache.kept_tokens <= cache.capacity_tokens
    survivors = [each for each in sequences if each.sequence_id not in cancelled]
    assert all(tokens[each.sequence_id] == each.output_tokens for each in survivors)
    assert (engine.running, list(engine.waiting), engine.cache.running_tokens) == ([], [], 0)


def test_memory_too_small_for_two_sets_the_younger_back_and_loses_nothing() -> None:
    engine = BatchingEngine(SMALL, block_tokens=16)
    _, tokens = run(engine, sequences_of([(100, 120), (101, 120)]))
    assert engine.preemptions > 0
    assert tokens == {0: 120, 1: 120}


def test_a_long_prompt_is_processed_in_chunks_while_others_decode() -> None:
    engine = BatchingEngine(SMALL, block_tokens=16)
    short, long = sequences_of([(10, 50), (200, 1)])
    engine.submit(short)
    step = engine.next_step()
    assert step is not None
    engine.finish_step(step)
    engine.submit(long)
    chunks = []
    while not long.finished:
        step = engine.next_step()
        assert step is not None
        assert short in step.decodes
        chunks += [share for sequence, share in step.prefills if sequence is long]
        # 0.01 s a step, 0.001 s for each of two sequences, 0.0001 s a prompt token.
        assert abs(step.duration_s - (0.012 + 0.0001 * chunks[-1])) < 1e-12
        engine.finish_step(step)
    assert chunks == [64, 64, 64, 8]


def test_a_prompt_that_fills_most_of_the_cache_is_still_found_in_it() -> None:
    engine = BatchingEngine(SMALL, block_tokens=16)
    hashes = tuple(range(12))
    first, again = (
        Sequence(sequence_id=n, prompt_tokens=200, output_tokens=2, prefix_hashes=hashes) for n in (1, 2)
    )
    run(engine, [first])
    run(engine, [again])
    assert (first.cached_tokens, again.cached_tokens) == (0, 192)


def test_one_sequence_takes_the_profiles_time() -> None:
    profile = PROFILES["llama2-70b-a100x4"]
    seconds, _ = run(BatchingEngine(profile), [Sequence(sequence_id=1, prompt_tokens=512, output_tokens=2)])
    # Measured: 512 tokens of prompt in about 0.19 s, then a token each 0.055 s less the fit's error.
    assert 0.15 < seconds < 0.28


def test_a_shared_beginning_is_computed_once() -> None:
    engine = BatchingEngine(PROFILES["llama2-70b-h100x4"])
    prompts = [
        Sequence(sequence_id=n, prompt_tokens=1_100, output_tokens=1, prefix_hashes=(1, 2, 3, 4))
        for n in (1, 2)
    ]
    cold, _ = run(engine, prompts[:1])
    warm, _ = run(engine, prompts[1:])
    assert prompts[1].cached_tokens == 1_024
    assert warm < cold / 2


def test_a_cancelled_sequence_frees_its_place_at_once() -> None:
    engine = BatchingEngine(SMALL, block_tokens=16)
    first, second = (Sequence(sequence_id=n, prompt_tokens=200, output_tokens=50) for n in (1, 2))
    engine.submit(first)
    engine.submit(second)
    step = engine.next_step()
    assert step is not None
    assert (len(engine.running), len(engine.waiting)) == (1, 1)
    engine.cancel(first)
    assert engine.finish_step(step) == []
    assert engine.next_step() is not None
    assert engine.running == [second]
