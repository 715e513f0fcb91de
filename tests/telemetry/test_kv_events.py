"""Cache events over real ZeroMQ sockets: in order, gaps closed, hostile messages survived."""

import asyncio
import functools
from collections.abc import Callable, Coroutine

import pytest

zmq = pytest.importorskip("zmq", reason="needs pyzmq: pip install 'steelyard[kv-events]'")

from tests.harness.kv_publisher import Publisher, stored  # noqa: E402  after the skip

from steelyard.engines.kv_events import BlocksRemoved, BlocksStored, KvEvent  # noqa: E402  after the skip
from steelyard.telemetry.kv_events import KvEventFeed, KvEventSource  # noqa: E402  after the skip

TOKENS = list(range(16))


def in_a_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run a test that waits."""

    @functools.wraps(test)
    def run(**given: object) -> None:
        asyncio.run(test(**given))

    return run


class Heard:
    """What a feed said, and waits for it."""

    def __init__(self, publisher: Publisher, *, replays: bool = True, topic: str = "") -> None:
        self.blocks: list[int] = []
        self.forgot = 0
        source = KvEventSource(
            endpoint=publisher.endpoint, replay=publisher.replay if replays else "", topic=topic
        )
        self.feed = KvEventFeed(source, self._hear, self._forget)

    def _hear(self, events: list[KvEvent]) -> None:
        for event in events:
            if isinstance(event, BlocksStored | BlocksRemoved):
                self.blocks += event.blocks

    def _forget(self) -> None:
        self.forgot += 1

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(15):
            while not condition():
                await asyncio.sleep(0.01)


async def following(heard: Heard, publisher: Publisher) -> asyncio.Task[None]:
    task = asyncio.create_task(heard.feed.run())
    await heard.until(publisher.subscribed.is_set)
    return task


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@in_a_loop
async def test_events_come_in_order_and_a_gap_is_closed_by_replay() -> None:
    with Publisher() as publisher:
        heard = Heard(publisher)
        task = await following(heard, publisher)
        publisher.publish(stored([1], TOKENS))
        await heard.until(lambda: heard.blocks == [1])
        publisher.publish(stored([2], TOKENS, 1), heard=False)
        publisher.publish(["BlockRemoved", [3], "GPU"])
        await heard.until(lambda: heard.blocks == [1, 2, 3])
        await ended(task)
    counts = heard.feed.counts
    assert (counts.batches, counts.gaps, counts.lost, heard.forgot) == (3, 1, 0, 0)


@in_a_loop
async def test_who_comes_late_is_told_what_was_before() -> None:
    with Publisher() as publisher:
        publisher.publish(stored([1], TOKENS))
        heard = Heard(publisher)
        task = await following(heard, publisher)
        publisher.publish(stored([2], TOKENS, 1))
        await heard.until(lambda: heard.blocks == [1, 2])
        await ended(task)
    assert (heard.feed.counts.gaps, heard.forgot) == (0, 0)


@pytest.mark.parametrize("replays", [False, True])
@in_a_loop
async def test_what_is_lost_for_good_makes_all_forgotten(replays: bool) -> None:
    with Publisher(keeps=1) as publisher:
        heard = Heard(publisher, replays=replays)
        task = await following(heard, publisher)
        publisher.publish(stored([1], TOKENS))
        publisher.publish(stored([2], TOKENS), heard=False)
        publisher.publish(stored([3], TOKENS))
        await heard.until(lambda: heard.blocks == [1, 3])
        await ended(task)
    assert (heard.feed.counts.gaps, heard.feed.counts.lost, heard.forgot) == (1, 1, 1)


@in_a_loop
async def test_an_engine_that_counts_anew_is_another_one() -> None:
    with Publisher(keeps=0) as publisher:
        heard = Heard(publisher)
        task = await following(heard, publisher)
        publisher.publish(stored([1], TOKENS))
        publisher.publish(stored([2], TOKENS))
        publisher.publish_raw(b"\x93\x00\x90\x00", number=0)
        await heard.until(lambda: heard.forgot == 1)
        await ended(task)
    assert heard.blocks == [1, 2]


@in_a_loop
async def test_hostile_messages_cost_no_more_than_what_was_heard() -> None:
    with Publisher(keeps=0) as publisher:
        heard = Heard(publisher, replays=False)
        task = await following(heard, publisher)
        publisher.publish_raw(b"\xdd\xff\xff\xff\xff")
        publisher.send(b"topic")
        publisher.send(b"topic", b"short", b"")
        publisher.send(*[b"x"] * 500)
        publisher.publish_raw(b"\x91" * 1_000_000)
        await heard.until(lambda: heard.forgot == 5)
        publisher.publish(stored([7], TOKENS))
        await heard.until(lambda: heard.blocks == [7])
        await ended(task)
    assert heard.feed.counts.lost == 5


@in_a_loop
async def test_only_the_topic_that_was_asked_for_is_heard() -> None:
    with Publisher(topic="kv@one@m", keeps=0) as publisher:
        other, wanted = Heard(publisher, topic="kv@two"), Heard(publisher, topic="kv@one")
        tasks = [asyncio.create_task(each.feed.run()) for each in (other, wanted)]
        await wanted.until(lambda: publisher.subscriptions == 2)
        publisher.publish(stored([1], TOKENS))
        await wanted.until(lambda: wanted.blocks == [1])
        for task in tasks:
            await ended(task)
    assert other.blocks == []
