"""Microseconds to read a body of 64 kB, however it is written: `python -m benchmarks.prompts`.

*read*: model, fields, the canonical prompt and its hashes. *skipped*: the same fields, with the prompt only
counted, which every policy needs. What prefix awareness costs is the difference. Least of 400 rounds, one
process, the compiled data plane; text is random, so that no branch can be learned by heart.
"""

import json
from collections.abc import Callable
from functools import partial
from random import Random
from time import perf_counter

import msgspec

from benchmarks.machine import describe
from steelyard.wire.openai import read_inference
from steelyard.wire.openai_bodies import Body

BYTES = 64_000
ROUNDS = 400


def _bodies() -> dict[str, bytes]:
    rng = Random(1)
    words = ["lorem", "ipsum", "dolor", "sit", "amet,", "consectetur", "elit.\n"]
    latin = " ".join(rng.choice(words) for _ in range(BYTES // 4))[:BYTES]
    characters = "".join(chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(BYTES // 3))
    chinese = "\n".join(characters[at : at + 60] for at in range(0, len(characters), 60))
    quotes = latin.replace(". ", "’ ").replace(",", "’", 100)

    def turns(text: str) -> list[dict[str, str]]:
        size = len(text) // 100
        return [
            {"role": "user" if n % 2 else "assistant", "content": text[n * size : (n + 1) * size]}
            for n in range(100)
        ]

    def one(content: object) -> list[dict[str, object]]:
        return [{"role": "user", "content": content}]

    def body(messages: object, *, escaped: bool = False) -> bytes:
        return json.dumps({"model": "m", "messages": messages, "stream": True}, ensure_ascii=escaped).encode()

    return {
        "one message, Latin": body(one(latin)),
        "one message, Chinese": body(one(chinese)),
        "one message of parts, Chinese": body(one([{"type": "text", "text": chinese}])),
        "100 messages, Latin": body(turns(latin)),
        "100 messages, Chinese": body(turns(chinese)),
        "one message, Latin, a hundred ’ as \\u2019": body(one(quotes), escaped=True),
        "one message, Chinese, all \\u-escaped": body(one(chinese[: BYTES // 6]), escaped=True),
    }


def _least_us(act: Callable[[], object]) -> float:
    least = float("inf")
    for _ in range(ROUNDS):
        start = perf_counter()
        act()
        least = min(least, perf_counter() - start)
    return least * 1e6


def run() -> str:
    """The table as Markdown."""
    skip = msgspec.json.Decoder(Body).decode
    rows = [f"## Microseconds a body of 64 kB\n\n{describe()}\n", "| body | read | skipped | difference |"]
    rows.append("|---|---:|---:|---:|")
    for name, body in _bodies().items():
        read = _least_us(partial(read_inference, body))
        skipped = _least_us(partial(skip, body))
        rows.append(f"| {name} | {read:.0f} | {skipped:.0f} | {read - skipped:.0f} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(run())
