"""An engine's blocks, and which of the gateway's blocks they are."""

from array import array
from random import Random

from steelyard.policies.engine_blocks import Change, EngineBlocks
from steelyard.policies.prefix_index import PrefixIndex

SIZE = 4


def tokens(count: int, seed: int = 1) -> "array[int]":
    rng = Random(seed)
    return array("I", [rng.randrange(50_000) for _ in range(count)])


def told(prompt: "array[int]", names: tuple[int, ...]) -> EngineBlocks:
    blocks = EngineBlocks()
    blocks.stored(names, 0, prompt[: len(names) * SIZE], SIZE)
    return blocks


def test_a_prompt_is_held_as_far_as_its_blocks_are_there() -> None:
    prompt = tokens(16)
    # Four of the engine's blocks, two of ours: ours end in its second and its fourth.
    assert told(prompt, (1, 2, 3, 4)).tie((10, 20), 1.0, prompt) == Change((10, 20), ())
    assert told(prompt, (1, 2, 3)).tie((10, 20), 1.0, prompt) == Change((10,), (20,))
    assert told(tokens(16, seed=2), (1, 2, 3, 4)).tie((10, 20), 1.0, prompt) == Change((), (10, 20))


def test_what_the_engine_removes_goes_and_what_comes_back_comes() -> None:
    prompt = tokens(16)
    blocks = told(prompt, (1, 2, 3, 4))
    blocks.tie((10, 20), 1.0, prompt)
    assert blocks.removed((3,)) == Change()
    assert blocks.removed((4, 99)) == Change(went=(20,))
    assert blocks.removed((4,)) == Change()
    assert blocks.stored((4,), 3, prompt[12:], SIZE) == Change(came=(20,))


def test_text_that_fills_no_block_of_the_engine_is_not_held() -> None:
    prompt = tokens(18)  # a whole prompt of text, of which the last two tokens are in no whole block
    assert told(prompt, (1, 2, 3, 4)).tie((10, 20), 1.0, prompt) == Change((10,), (20,))


def test_a_cleared_cache_holds_nothing_and_is_known_again_by_the_same_names() -> None:
    prompt = tokens(16)
    blocks = told(prompt, (1, 2, 3, 4))
    blocks.tie((10, 20), 1.0, prompt)
    blocks.clear()
    assert blocks.tie((10, 20), 1.0, prompt) == Change((), (10, 20))
    assert blocks.stored((1, 2), 0, prompt[:8], SIZE).came == (10,)


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    blocks = EngineBlocks(max_blocks=8)
    for prompt in range(100):
        text = tokens(8, seed=prompt)
        blocks.stored((2 * prompt + 1, 2 * prompt + 2), 0, text, SIZE)
        blocks.tie((1000 + prompt,), 1.0, text)
    assert len(blocks) == 8
    assert blocks.tie((1000,), 1.0, tokens(8, seed=0)) == Change((), (1000,))
    assert blocks.tie((1099,), 1.0, tokens(8, seed=99)) == Change((1099,), ())


def test_the_index_says_what_it_is_told() -> None:
    index = PrefixIndex()
    ours = tuple(number * 0x9E3779B97F4A7C15 & (1 << 62) - 1 for number in (1, 2, 3))
    index.set_held(3, ours)
    assert index.held(3, ours) == 3
    index.drop(3, ours[2:])
    assert index.held(3, ours) == 2
    index.drop(3, ours)
    assert index.held(3, ours) == 0
    assert index.held(2, ours) == 0
