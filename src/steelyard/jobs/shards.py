"""Dealing work out to shards: files by size, keys by range. Each shard is told its part by its environment.

Files go largest first to the shard with the least so far (Graham's LPT rule: at most 4/3 of the best
possible largest shard); ties go to the lower shard, so the same files give the same shards.
"""

import heapq
from collections.abc import Mapping

from steelyard.model.errors import ConfigError

LIMIT_BYTES = 100_000  # of one variable: the kernel allows 128 KiB


def deal_files(sizes: Mapping[str, float], shards: int) -> list[dict[str, str]]:
    """One environment a shard, none of them empty: fewer files than shards make as many shards as files."""
    _check(shards)
    count = min(shards, len(sizes))
    parts: list[list[str]] = [[] for _ in range(count)]
    least = [(0.0, index) for index in range(count)]
    for name in sorted(sizes, key=lambda each: (-sizes[each], each)):
        total, index = heapq.heappop(least)
        parts[index].append(name)
        heapq.heappush(least, (total + sizes[name], index))
    dealt = []
    for index, part in enumerate(parts):
        text = "\n".join(sorted(part))
        if len(text.encode()) > LIMIT_BYTES:
            raise ConfigError(f"a shard would get {len(part)} files: ask for more than {shards} shards")
        dealt.append({**_names(index, count), "STEELYARD_SHARD_FILES": text})
    return dealt


def deal_keys(first: int, end: int, shards: int) -> list[dict[str, str]]:
    """Half-open ranges that cover first <= key < end and differ by one key at most."""
    _check(shards)
    if end <= first:
        raise ConfigError(f"keys are [{first}, {end}]: the end must be above the first")
    count = min(shards, end - first)
    marks = [first + (end - first) * index // count for index in range(count + 1)]
    return [
        {
            **_names(index, count),
            "STEELYARD_SHARD_FIRST": str(marks[index]),
            "STEELYARD_SHARD_END": str(marks[index + 1]),
        }
        for index in range(count)
    ]


def _names(index: int, count: int) -> dict[str, str]:
    return {"STEELYARD_SHARD": str(index), "STEELYARD_SHARDS": str(count)}


def _check(shards: int) -> None:
    if shards < 1:
        raise ConfigError(f"shards is {shards}: it must be 1 or more")
