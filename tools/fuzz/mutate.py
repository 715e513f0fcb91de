"""A fuzzer without instruments: it changes good inputs at random, for ever, and keeps what is new to say.

Used where atheris is not installed, and for counting inputs. An input that took over 50 ms is a fault too.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tools.fuzz.seeds import KEYS, LITERALS, SEEDS, WORDS
from tools.fuzz.targets import TARGETS

SLOW_S = 0.05
MAX_BYTES = 4096
BATCH = 512
KEPT = 200  # inputs that others descend from


@dataclass(slots=True)
class Found:
    """An input that a target does not stand."""

    data: bytes
    problem: str


def changed(data: bytes, rng: random.Random, words: list[bytes]) -> bytes:
    """An input with a few changes."""
    work, chance = bytearray(data), rng.random  # a fifth of what `randrange` costs
    for _ in range(1 << int(chance() * 4)):
        size = len(work)
        at, kind = int(chance() * (size + 1)), int(chance() * 6)
        if kind == 0 and at < size:
            work[at] = int(chance() * 256)
        elif kind == 1:
            work[at:at] = words[int(chance() * len(words))]
        elif kind == 2:
            del work[at : at + 1 + int(chance() * 8)]
        elif kind == 3:
            work[at:at] = work[at : at + 1 + int(chance() * 64)]
        elif kind == 4 and at < size:
            work[at] ^= 1 << int(chance() * 8)
        else:
            del work[at:]
    return bytes(work[:MAX_BYTES])


def relined(data: bytes, rng: random.Random) -> bytes:
    """A configuration with a value, a key or a line changed: unlike most changes of bytes, it stays TOML."""
    lines = data.splitlines(keepends=True)
    for _ in range(1 + rng.randrange(3)):
        at = rng.randrange(len(lines) or 1)
        key, equals, value = lines[at].partition(b" = ") if lines else (b"", b"", b"")
        kind = rng.randrange(4)
        if kind == 0 and equals:
            lines[at] = key + equals + rng.choice(LITERALS) + b"\n"
        elif kind == 1 and equals:
            lines[at] = rng.choice(KEYS) + equals + value
        elif kind == 2:
            lines[at : at + 1] = []
        else:
            lines[at:at] = [rng.choice(KEYS) + b" = " + rng.choice(LITERALS) + b"\n"]
    return b"".join(lines)[:MAX_BYTES]


def batches(name: str, rng: random.Random) -> Iterator[list[bytes]]:
    """Inputs for a target, without end: seeds first, then their descendants."""
    pool = list(SEEDS[name])
    yield list(pool)
    words, chance = WORDS + pool, rng.random
    while True:
        batch = [changed(pool[int(chance() * len(pool))], rng, words) for _ in range(BATCH)]
        if name == "configuration":
            batch[::2] = [relined(rng.choice(SEEDS[name]), rng) for _ in batch[::2]]
        yield batch
        for data in batch if len(pool) < KEPT else batch[: BATCH // 100]:
            pool[rng.randrange(len(SEEDS[name]), KEPT) :] = [data]  # descendants of descendants


def fuzz(name: str, *, seconds: float, count: int, seed: int) -> tuple[int, float, Found | None]:
    """(how many inputs were run, the slowest in seconds, what was found). Ends at the first fault.

    A whole batch is timed, and its inputs one by one only when one of them could be too slow.
    """
    target, rng = TARGETS[name], random.Random(seed)
    clock = time.thread_time  # others use this machine, too: their time is not ours
    until_s, done, slowest_s = time.monotonic() + seconds, 0, 0.0
    for batch in batches(name, rng):
        started_s, data = clock(), b""
        try:
            for data in batch:
                target(data)
        except Exception as error:  # noqa: BLE001  whatever it is, it is what we look for
            return done, slowest_s, Found(data, f"{type(error).__name__}: {error}")
        if clock() - started_s > max(SLOW_S, slowest_s):
            took_s, data = slowest(target, batch)
            slowest_s = max(slowest_s, took_s)
            if took_s > SLOW_S:
                return done, slowest_s, Found(data, f"it took {took_s * 1e3:.0f} ms")
        done += len(batch)
        if done >= count or time.monotonic() >= until_s:
            break
    return done, slowest_s, None


def slowest(target: Callable[[bytes], None], batch: list[bytes]) -> tuple[float, bytes]:
    """(seconds, input) of the one that takes longest, twice in a row: once may be the machine's doing."""
    took: list[tuple[float, bytes]] = []
    for data in batch:
        tries_s = []
        for _ in range(2):
            started_s = time.thread_time()
            target(data)
            tries_s.append(time.thread_time() - started_s)
        took.append((min(tries_s), data))
    return max(took)
