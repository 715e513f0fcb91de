"""A crawl is known by the pool's middle, not by a number of ours."""

from steelyard.routing.stream_pace import LEAST_STREAMS, PoolPace


def pace(streams: int = 32, token_s: float = 0.02, factor: float = 10) -> PoolPace:
    made = PoolPace(factor, window_s=5.0)
    for _ in range(streams):
        made.stream_ended(100, 100 * token_s)
    return made


def test_a_stream_ten_times_slower_than_the_middle_is_a_crawl() -> None:
    assert pace().is_crawl(tokens=10, window_s=5.0)
    assert not pace().is_crawl(tokens=60, window_s=5.0)


def test_a_pool_that_is_slow_in_all_has_no_crawl() -> None:
    assert not pace(token_s=0.5).is_crawl(tokens=10, window_s=5.0)


def test_a_few_slow_streams_do_not_move_the_middle() -> None:
    made = pace()
    for _ in range(16):
        made.stream_ended(100, 500.0)
    assert made.is_crawl(tokens=10, window_s=5.0)


def test_nobody_is_judged_too_early_or_when_it_is_off() -> None:
    assert not pace(streams=LEAST_STREAMS - 1).is_crawl(tokens=0, window_s=60.0)
    assert pace(streams=LEAST_STREAMS).is_crawl(tokens=0, window_s=60.0)
    assert not pace(factor=0).is_crawl(tokens=0, window_s=60.0)
    assert not pace().is_crawl(tokens=0, window_s=4.9)
