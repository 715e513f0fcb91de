"""Open-loop replay: each request is sent when the trace says, whatever became of those before it."""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from urllib.parse import urlsplit

from steelyard.model.errors import ConfigError
from steelyard.replay.client import Outcome, request_bytes, send
from steelyard.traces.request import TraceRequest


async def replay(
    requests: Sequence[TraceRequest],
    url: str,
    *,
    model: str,
    speed: float = 1.0,
    timeout_s: float = 600.0,
    done: Callable[[], None] = lambda: None,
) -> tuple[list[Outcome], float]:
    """Replay a trace; return its outcomes in order of sending, and the seconds it took.

    speed: 2 sends twice as fast as the trace. done: called after each request.
    Raises ConfigError for an address that cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError(f"{url!r} cannot be replayed to: it must look like http://HOST:PORT")
    start_s = monotonic()
    running: list[asyncio.Task[Outcome]] = []
    for number, request in enumerate(requests):
        data = request_bytes(request, number, model, parts)
        due_s = start_s + request.arrival_s / speed
        await asyncio.sleep(max(0.0, due_s - monotonic()))
        # From when it was due: a client that lags must not flatter the server (coordinated omission).
        task = asyncio.create_task(send(data, parts, due_s, timeout_s))
        task.add_done_callback(lambda _: done())
        running.append(task)
    outcomes = list(await asyncio.gather(*running))
    return outcomes, monotonic() - start_s
