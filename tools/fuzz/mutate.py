"""A fuzzer without instruments: it changes good inputs at random, for ever, and keeps what is new to say.

Used where atheris is not installed, and for counting inputs. An input that took over 50 ms is a fault too.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tools.fuzz.seeds import SEEDS, WORDS
from tools.fuzz.targets import TARGETS

SLOW_S = 0.05
MAX_BYTES = 4096


@dataclass(slots=True)
class Found:
    """An input that a target does not stand."""

    data: bytes
    problem: str


def changed(data: bytes, rng: random.Random, words: list[bytes]) -> bytes:
    """An input with a few changes."""
    work = bytearray(data)
    for _ in range(1 << rng.randrange(4)):
        at = rng.randrange(len(work) + 1)
        kind = rng.randrange(6)
        if kind == 0 and work:
            work[at % len(work)] = rng.randrange(256)
        elif kind == 1:
            work[at:at] = rng.choice(words)
        elif kind == 2:
            del work[at : at + rng.randrange(1, 9)]
        elif kind == 3:
            work[at:at] = work[at : at + rng.randrange(1, 65)]
        elif kind == 4 and work:
            work[at % len(work)] ^= 1 << rng.randrange(8)
        else:
            del work[at:]
    return bytes(work[:MAX_BYTES])


def inputs(name: str, rng: random.Random) -> Iterator[bytes]:
    """Inputs for a target, without end: seeds first, then their descendants."""
    pool = list(SEEDS[name])
    yield from pool
    words = WORDS + pool
    while True:
        data = changed(rng.choice(pool), rng, words)
        if len(pool) < 200 or rng.random() < 0.01:
            pool[rng.randrange(len(SEEDS[name]), 200) :] = [data]  # descendants of descendants
        yield data


def fuzz(name: str, *, seconds: float, count: int, seed: int) -> tuple[int, float, Found | None]:
    """(how many inputs were run, the slowest in seconds, what was found). Ends at the first fault."""
    target, rng = TARGETS[name], random.Random(seed)
    clock = time.thread_time  # others use this machine, too: their time is not ours
    until_s, done, slowest_s = time.monotonic() + seconds, 0, 0.0
    for data in inputs(name, rng):
        started_s = clock()
        try:
            target(data)
        except Exception as error:  # noqa: BLE001  whatever it is, it is what we look for
            return done, slowest_s, Found(data, f"{type(error).__name__}: {error}")
        took_s = clock() - started_s
        if took_s > slowest_s:
            slowest_s = took_s
            if took_s > SLOW_S:
                return done, slowest_s, Found(data, f"it took {took_s * 1e3:.0f} ms")
        done += 1
        if done >= count or (done % 256 == 0 and time.monotonic() >= until_s):
            break
    return done, slowest_s, None
