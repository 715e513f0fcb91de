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


@given(st.lists(st.tuples(st.integers(1, 150), st.integers(1, 120)), min_size=1, max_size=12))
def test_every_sequence_gets_each_of_its_tokens_once_however_tight_memory_is(
    sizes: list[tuple[int, int]],
) -> None:
    engine = BatchingEngine(SMALL, block_tokens=16)
    sequences = [
        Sequence(sequence_id=number, prompt_tokens=prompt, output_tokens=output)
        for number, (prompt, output) in enumerate(sizes)
    ]
    _, tokens = run(engine, sequences)
    assert tokens == {number: output for number, (_, output) in enumerate(sizes)}
    assert engine.cache.running_tokens == 0


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
