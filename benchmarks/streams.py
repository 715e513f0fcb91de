"""What it costs to follow a stream of events: µs an event, on this machine.

Usage: python -m benchmarks.streams
"""

import timeit
from collections.abc import Callable
from time import process_time

import msgspec

from steelyard.routing.stream_keeper import StreamKeeper
from steelyard.wire.answer_so_far import AnswerSoFar
from steelyard.wire.sse import SseSplitter, event, event_data

EVENTS = 20_000


def chat_event(text: str) -> bytes:
    """An event of a chat stream as vLLM sends it."""
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    chunk = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "choices": [choice],
    }
    return event(msgspec.json.encode(chunk))


def microseconds(work: Callable[[], object], count: int) -> float:
    """The best of seven runs, in processor time, divided by the number of events."""
    return min(timeit.repeat(work, number=1, repeat=7, timer=process_time)) / count * 1e6


def main() -> None:
    """Print the table."""
    payload = chat_event(" word")

    def split() -> None:
        splitter = SseSplitter()
        for _ in range(EVENTS):
            splitter.feed(payload)

    def follow() -> None:
        splitter, answer = SseSplitter(), AnswerSoFar()
        for _ in range(EVENTS):
            for each in splitter.feed(payload):
                data = event_data(each)
                if data is not None:
                    answer.observe(data)

    def keep() -> None:
        keeper = StreamKeeper(b"{}", chat=True)
        for _ in range(EVENTS):
            keeper.feed(payload)

    def splice() -> None:
        keeper = StreamKeeper(b'{"messages":[{}]}', chat=True)
        keeper.feed(payload)
        keeper.go_on(engine="vllm")
        for _ in range(EVENTS):
            keeper.feed(payload)

    print(f"split events:            {microseconds(split, EVENTS):.2f} µs an event of {len(payload)} bytes")
    print(f"split, decode, remember: {microseconds(follow, EVENTS):.2f} µs an event")
    print(f"keep a stream alive:     {microseconds(keep, EVENTS):.2f} µs an event")
    print(f"splice a continued one:  {microseconds(splice, EVENTS):.2f} µs an event")


if __name__ == "__main__":
    main()
