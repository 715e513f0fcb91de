"""Every replica: state, load, cache, health over the last ten minutes; drain and restore."""

from steelyard.console.overview import as_values
from steelyard.console.page import Context, Page, Part, Query
from steelyard.console.watch import Watch
from steelyard.model.gateway_sample import ReplicaSample

ROWS = 50
WINDOW_S = 600.0
_WORST_FIRST = {"unhealthy": 0, "draining": 1, "starting": 2, "healthy": 3}


async def context(watch: Watch, query: Query) -> Context:
    """One part of the list, filtered by text and state, the unwell first."""
    replicas = list(watch.sample.replicas) if watch.sample is not None else []
    counts: dict[str, int] = {}
    for each in replicas:
        counts[each.state] = counts.get(each.state, 0) + 1
    text, state = query.text("q"), query.text("state")
    found = [each for each in replicas if (not state or each.state == state) and _matches(each, text)]
    found.sort(key=lambda each: (_WORST_FIRST.get(each.state, 9), each.replica_id))
    part = Part.of(found, query.number("from", 0), ROWS)
    now_s = watch.sample.monotonic_s if watch.sample is not None else 0.0
    rows = [
        as_values(each)
        | {
            "spans": watch.states.spans(each.replica_id, now_s, WINDOW_S),
            "changes": watch.states.changes(each.replica_id),
        }
        for each in part.rows
    ]
    return {
        "part": part,
        "rows": rows,
        "counts": counts,
        "most_in_flight": max([1, *(each.in_flight for each in replicas)]),
        "in_flight": sum(each.in_flight for each in replicas),
        "begin_s": now_s - WINDOW_S,
        "window_s": WINDOW_S,
    }


def _matches(replica: ReplicaSample, text: str) -> bool:
    return not text or any(
        text.lower() in name.lower()
        for name in (replica.replica_id, replica.url, replica.pool, *replica.models)
    )


PAGE = Page("replicas", "Replicas", context, ("replica_counts", "replica_table"))
