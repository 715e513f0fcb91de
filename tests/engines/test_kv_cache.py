"""The KV cache: what is shared counts once, and the least recently used goes first."""

from steelyard.engines.kv_cache import KvCache


def entered(cache: KvCache, hashes: tuple[int, ...], tokens: int) -> int:
    """Put a prompt in and process it; its own tokens. Fails the test when there is no room."""
    present = cache.try_enter(hashes, tokens)
    assert present is not None
    cache.share(hashes[present:])
    return tokens - len(hashes) * cache.block_tokens


def test_blocks_that_two_sequences_share_count_once() -> None:
    cache = KvCache(100, 10)
    entered(cache, (1, 2, 3), 35)
    entered(cache, (1, 2, 3), 35)
    assert (cache.running_tokens, cache.kept_tokens) == (40, 0)


def test_a_block_stays_pinned_until_its_last_user_left() -> None:
    cache = KvCache(100, 10)
    own = entered(cache, (1, 2), 25)
    entered(cache, (1, 2), 25)
    cache.leave((1, 2), own)
    assert (cache.running_tokens, cache.kept_tokens) == (25, 0)
    cache.leave((1, 2), own)
    assert (cache.running_tokens, cache.kept_tokens) == (0, 20)


def test_the_least_recently_used_prompt_is_evicted_first_and_from_its_end() -> None:
    cache = KvCache(60, 10)
    for hashes in ((1, 2), (3, 4), (1, 2)):
        cache.leave(hashes, entered(cache, hashes, 21))
    assert cache.try_enter((), 25) == 0
    # 35 free tokens hold three of the four blocks: the older prompt lost its second.
    assert cache.kept_tokens == 30
    assert cache.try_enter((3, 4), 21) == 1


def test_a_refused_prompt_changes_nothing() -> None:
    cache = KvCache(40, 10)
    cache.leave((1, 2), entered(cache, (1, 2), 20))
    assert cache.try_enter((1, 2, 3), 40) is None
    assert (cache.running_tokens, cache.kept_tokens) == (0, 20)


def test_growing_takes_the_last_token_and_no_more() -> None:
    cache = KvCache(12, 4)
    assert cache.try_enter((), 11) == 0
    assert cache.try_grow()
    assert not cache.try_grow()
    assert cache.used_fraction == 1.0
