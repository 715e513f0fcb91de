"""From a target to a pool: the longest matching path prefix wins, among routes for this host first."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from steelyard.config.schema import Configuration, PoolOptions, StreamOptions, TimeoutOptions
from steelyard.model.request import Request
from steelyard.model.routing_policy import LearningPolicy, RoutingPolicy
from steelyard.policies.failure.retry_budget import RetryBudget
from steelyard.routing.continuation import Way
from steelyard.routing.stream_pace import PoolPace
from steelyard.wire.http1_head import RequestHead

if TYPE_CHECKING:
    from steelyard.gateway.door import Door

STREAM_PATHS: Final = (b"/chat/completions", b"/completions")


@dataclass
class Pool:
    """A group of replicas with one policy, as a worker uses it.

    index: its place in the configuration, where its counters are.
    keeps_key: the client's key is for the engine; else it ends here.
    door: where requests wait when replicas can be full; None when they cannot.
    sees: told of every body that was understood; None when nobody asks.
    refused_ways: how engines would not continue an answer, by slot.
    """

    name: str
    index: int
    policy: RoutingPolicy
    budget: RetryBudget
    timeouts: TimeoutOptions
    max_retries: int
    reads_bodies: bool
    hash_on: str
    streams: StreamOptions
    pace: PoolPace
    keeps_key: bool = True
    learner: LearningPolicy | None = None
    door: "Door | None" = None
    sees: Callable[[Request, bytes], None] | None = None
    refused_ways: dict[int, set[Way]] = field(default_factory=dict)

    @classmethod
    def of(cls, options: PoolOptions, policy: RoutingPolicy, index: int, *, asks_keys: bool) -> "Pool":
        """Build the pool that options describe. asks_keys: the gateway itself asks for a key."""
        engine = options.engine
        return cls(
            name=options.name,
            index=index,
            policy=policy,
            budget=RetryBudget(options.retries.budget_fraction, options.retries.budget_min_per_s),
            timeouts=options.timeouts,
            max_retries=options.retries.max_retries,
            reads_bodies=options.kind == "openai",
            hash_on=options.hash_on,
            keeps_key=not (asks_keys or engine.api_key_file or engine.api_key_env),
            streams=options.streams,
            pace=PoolPace(options.streams.slow_factor, options.streams.slow_window_s),
            learner=policy if isinstance(policy, LearningPolicy) else None,
        )

    def lists_models(self, head: RequestHead) -> bool:
        """Whether this is OpenAI's list of models, which the gateway answers for all replicas."""
        return self.reads_bodies and head.method in (b"GET", b"HEAD") and head.path == b"/v1/models"

    def keeps_streams(self, head: RequestHead) -> bool:
        """Whether answers on this path, if streamed, go on when their engine is lost."""
        return self.reads_bodies and self.streams.continuation != "off" and head.path.endswith(STREAM_PATHS)

    def is_json(self, head: RequestHead) -> bool:
        """Whether the body claims to be JSON, or claims nothing."""
        for line in head.lines:
            if line[:13].lower() == b"content-type:":
                return b"json" in line.lower()
        return True

    def affinity(self, head: RequestHead) -> str:
        """What a hash ring or a sticky session holds on to, "" for nothing."""
        how = self.hash_on
        if how == "path":
            return head.target.decode("ascii")
        if how.startswith("header:"):
            wanted = how[7:].lower().encode() + b":"
            for line in head.lines:
                if line[: len(wanted)].lower() == wanted:
                    return line[len(wanted) :].strip().decode("latin-1")
        return ""


class Routes:
    """All routes, longest prefix first."""

    def __init__(self, configuration: Configuration, pools: dict[str, Pool]) -> None:
        routes = sorted(configuration.routes, key=lambda route: (not route.host, -len(route.path_prefix)))
        self._routes = [
            (route.path_prefix.encode(), route.host.lower().encode(), pools[route.pool]) for route in routes
        ]

    def match(self, target: bytes, host: bytes) -> Pool | None:
        """The pool for a target, or None."""
        for prefix, wanted_host, pool in self._routes:
            if target.startswith(prefix) and (
                not wanted_host or host.partition(b":")[0].lower() == wanted_host
            ):
                return pool
        return None
