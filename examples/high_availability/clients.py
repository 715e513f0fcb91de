"""Clients as real ones are: they stream chat after chat, and ask again for what did not come whole."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

from steelyard.replay.client import request_bytes, send
from steelyard.traces.request import TraceRequest

CHAT = TraceRequest(arrival_s=0.0, prompt_tokens=200, output_tokens=60)
TRIES = 3  # as OpenAI's client: two more after the first


@dataclass(slots=True)
class Count:
    """What came of the chats. again: times that one was asked for once more; lost: given up."""

    answered: int = 0
    again: int = 0
    lost: int = 0


class Clients:
    """`count` clients for the length of a block; addresses: where they ask, the next after a failure."""

    def __init__(self, addresses: Sequence[str], count: int = 12) -> None:
        self._addresses = list(addresses)
        self._clients = count
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.count = Count()

    def __enter__(self) -> "Clients":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def stage(self, what: str, chats: int = 60) -> None:
        """Let so many more chats come to their end, and say what became of them."""
        before = Count(self.count.answered, self.count.again, self.count.lost)
        deadline_s = time.monotonic() + 60
        while self.count.answered + self.count.lost < before.answered + before.lost + chats:
            if time.monotonic() > deadline_s:
                raise SystemExit(f"{what}: no {chats} chats within a minute")
            time.sleep(0.02)
        now = self.count
        print(
            f"{what}: {now.answered - before.answered} answered, {now.again - before.again} asked again, "
            f"{now.lost - before.lost} lost",
            flush=True,
        )

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))

    async def _client(self, number: int) -> None:
        while not self._stopped.is_set():
            if await self._chat(number):
                self.count.answered += 1
            else:
                self.count.lost += 1

    async def _chat(self, number: int) -> bool:
        for attempt in range(TRIES):
            url = urlsplit(self._addresses[(number + attempt) % len(self._addresses)])
            data = request_bytes(CHAT, number, "emulated", url)
            outcome = await send(data, url, time.monotonic(), timeout_s=30)
            if outcome.kind == "ok":
                return True
            self.count.again += 1
            await asyncio.sleep(0.2 * (attempt + 1))
        self.count.again -= 1  # the last was not followed by another
        return False
