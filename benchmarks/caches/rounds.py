"""One balancer's run: the stream, a leaver, a newcomer."""

import itertools
import statistics
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic

from benchmarks.caches.balancers import Balancer, balanced
from steelyard.demo.caches import CacheNode, CacheShape, cache_fleet
from steelyard.demo.key_stream import ask_all, hit_share, moved, moved_needlessly, spread, zipf_keys


@dataclass(frozen=True, slots=True)
class Plan:
    """What every balancer is put through."""

    caches: int = 8
    keys: int = 5_000
    requests: int = 8_000
    exponent: float = 0.9
    clients: int = 48
    seed: int = 7
    shape: CacheShape = field(default_factory=CacheShape)

    def stream(self) -> list[str]:
        """The paths, the same for everybody."""
        return zipf_keys(self.keys, self.requests, self.exponent, self.seed)

    def all_keys(self) -> list[str]:
        """Every key once."""
        return [f"/objects/{number}" for number in range(self.keys)]


@dataclass(frozen=True, slots=True)
class Steady:
    """The second half of a stream. kept_objects: in all caches, at its end."""

    hits: float
    busiest: float
    requests_per_s: float
    p50_s: float
    p99_s: float
    lost: int
    kept_objects: int


@dataclass(frozen=True, slots=True)
class Change:
    """A cache left or joined."""

    least: float
    moved: float
    needless: float
    hits_after: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """All of one balancer."""

    steady: Steady
    keys_busiest: float = 0.0
    left: Change | None = None
    joined: Change | None = None

    def as_table(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def run(balancer: Balancer, plan: Plan, changes: bool) -> Outcome:
    """Fresh caches, then the stream; then, if asked for, a cache leaves and another joins."""
    names = itertools.count()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with cache_fleet(plan.caches + changes, folder / "caches", plan.shape) as nodes:

            def fresh() -> Path:
                return folder / f"balancer-{next(names)}"

            first = nodes[: plan.caches]
            with balanced(balancer, first, fresh()) as port:
                steady = _steady(port, plan, first)
                if not changes:
                    return Outcome(steady)
                before = ask_all(port, plan.all_keys(), 1, probe=True)
            middle = first[plan.caches // 2 - 1]
            left, leaver = [node for node in first if node is not middle], middle.name
            share = sum(each.node == leaver for each in before) / len(before)

            def change(now: Sequence[CacheNode], who: str, least: float) -> Change:
                with balanced(balancer, now, fresh()) as port:
                    after = ask_all(port, plan.all_keys(), 1, probe=True)
                    stream = plan.stream()[: plan.requests // 8]
                    hits = hit_share(ask_all(port, stream, plan.clients))
                return Change(least, moved(before, after), moved_needlessly(before, after, who), hits)

            gone = change(left, leaver, share)
            with balanced(balancer, first, fresh()) as port:  # all eight are warm again
                ask_all(port, plan.stream()[: plan.requests // 4], plan.clients)
            came = change(nodes, nodes[-1].name, 1 / len(nodes))
            return Outcome(steady, spread(before, plan.caches), gone, came)


def _steady(port: int, plan: Plan, nodes: Sequence[CacheNode]) -> Steady:
    stream = plan.stream()
    half = len(stream) // 2
    filling = ask_all(port, stream[:half], plan.clients)
    began_s = monotonic()
    answers = ask_all(port, stream[half:], plan.clients)
    seconds = monotonic() - began_s
    took = statistics.quantiles([each.took_s for each in answers], n=100)
    return Steady(
        hits=hit_share(answers),
        busiest=spread(answers, plan.caches),
        requests_per_s=len(answers) / seconds,
        p50_s=took[49],
        p99_s=took[98],
        lost=sum(each.status != 200 for each in (*filling, *answers)),
        kept_objects=sum(node.kept_objects for node in nodes),
    )


def one_lru(plan: Plan, objects: int) -> float:
    """Hit share of one LRU cache with room for `objects` over the second half of the stream."""
    kept: OrderedDict[str, None] = OrderedDict()
    stream, hits = plan.stream(), 0
    for index, path in enumerate(stream):
        if path in kept:
            hits += index >= len(stream) // 2
            kept.move_to_end(path)
        else:
            kept[path] = None
            if len(kept) > objects:
                kept.popitem(last=False)
    return hits / (len(stream) - len(stream) // 2)
