"""A stream of keys as caches meet them, and a client that asks for them in a closed loop."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from time import monotonic, sleep

from steelyard.model.errors import SteelyardError

TIMEOUT_S = 30.0
START_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class KeyAnswer:
    """What came of one request. status: 0 when the connection was lost."""

    node: str
    hit: bool
    status: int
    took_s: float


LOST = KeyAnswer("", hit=False, status=0, took_s=0.0)


def zipf_keys(keys: int, count: int, exponent: float, seed: int) -> list[str]:
    """`count` paths of `keys` different ones: the k-th most popular is asked for in proportion to k^-exponent
    (web requests: 0.6 to 0.9; Breslau et al., INFOCOM 1999). Popularity says nothing of the name.
    """
    rng = random.Random(seed)
    names = [f"/objects/{number}" for number in range(keys)]
    rng.shuffle(names)
    weights = list(accumulate(rank**-exponent for rank in range(1, keys + 1)))
    return rng.choices(names, cum_weights=weights, k=count)


def wait_for_answer(port: int) -> None:
    """Until a balancer on this port leads to a cache. Raises SteelyardError."""
    deadline_s = monotonic() + START_TIMEOUT_S
    while not ask_all(port, ["/objects/0"], 1, probe=True)[0].node:
        if monotonic() > deadline_s:
            raise SteelyardError(f"nothing on port {port} leads to a cache within {START_TIMEOUT_S:g} s")
        sleep(0.02)


def ask_all(
    port: int,
    paths: Sequence[str],
    clients: int,
    probe: bool = False,
    done: Callable[[], None] = lambda: None,
) -> list[KeyAnswer]:
    """Ask for every path, in order, with so many requests at a time; the answers in the order of the paths.

    probe: only ask where each leads. done: called after each answer.
    """
    answers = [LOST] * len(paths)
    asyncio.run(_ask_all(port, iter(enumerate(paths)), answers, clients, probe, done))
    return answers


async def _ask_all(
    port: int,
    todo: Iterator[tuple[int, str]],
    answers: list[KeyAnswer],
    clients: int,
    probe: bool,
    done: Callable[[], None],
) -> None:
    extra = "X-Probe: 1\r\n" if probe else ""

    async def client() -> None:
        connection = None
        for index, path in todo:
            request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{extra}\r\n".encode("ascii")
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    connection = connection or await asyncio.open_connection("127.0.0.1", port)
                    answers[index] = await _ask(*connection, request)
            except (OSError, EOFError, TimeoutError):
                if connection is not None:
                    connection[1].close()
                connection = None
            done()
        if connection is not None:
            connection[1].close()

    await asyncio.gather(*(client() for _ in range(clients)))


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> KeyAnswer:
    began_s = monotonic()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if length := int(fields.get("content-length", "0")):
        await reader.readexactly(length)
    status = int(lines[0].split(" ")[1])
    return KeyAnswer(fields.get("x-node", ""), fields.get("x-cache") == "HIT", status, monotonic() - began_s)


def hit_share(answers: Sequence[KeyAnswer]) -> float:
    """Share of the requests that a cache answered from its store."""
    return sum(each.hit for each in answers) / max(1, len(answers))


def spread(answers: Sequence[KeyAnswer], nodes: int) -> float:
    """Requests of the busiest node over the mean of all `nodes`: 1 is even."""
    counts = Counter(each.node for each in answers if each.node)
    return max(counts.values(), default=0) * nodes / max(1, sum(counts.values()))


def moved(before: Sequence[KeyAnswer], after: Sequence[KeyAnswer]) -> float:
    """Share of the keys that lead elsewhere now; both lists are of the same paths."""
    return sum(one.node != other.node for one, other in zip(before, after, strict=True)) / len(before)


def moved_needlessly(before: Sequence[KeyAnswer], after: Sequence[KeyAnswer], changed: str) -> float:
    """Of those, the ones that neither left the node `changed` nor came to it."""
    pairs = zip(before, after, strict=True)
    count = sum(one.node != other.node and changed not in (one.node, other.node) for one, other in pairs)
    return count / len(before)
