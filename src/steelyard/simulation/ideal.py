"""The most that caches could ever give on a trace: the hit share of one cache without end.

A block counts as a hit when it and all blocks before it have been seen in an earlier request. Cost: one set
look-up a block.
"""

from collections.abc import Iterable

from steelyard.traces.request import TraceRequest


def ideal_hit_share(requests: Iterable[TraceRequest]) -> float:
    """Share of all blocks that are hits, 0..1; 0 for a trace without blocks."""
    seen: set[int] = set()
    blocks = hits = 0
    for request in requests:
        blocks += len(request.prefix_blocks)
        for block in request.prefix_blocks:
            if block not in seen:
                break
            hits += 1
        seen.update(request.prefix_blocks)
    return hits / blocks if blocks else 0.0
