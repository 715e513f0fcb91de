"""Every key of the configuration, with its default and the reason for it.

The classes are the schema: `load` validates a file against them, and
docs/configuration.md is generated from them. A comment behind a field is its documentation.
"""

import math
import os
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from steelyard.config.access import (
    AdminOptions,
    AdmissionOptions,
    EngineAccessOptions,
    KeyOptions,
    TenantOptions,
    TlsOptions,
    check_tenants,
    is_loopback,
)
from steelyard.config.checks import require as _require
from steelyard.config.checks import require_above as _require_above
from steelyard.config.checks import require_fraction as _require_fraction
from steelyard.config.checks import require_not_below as _require_not_below
from steelyard.config.console import ConsoleOptions
from steelyard.config.fallback import FallbackOptions, ModelOptions, check_models, check_networks
from steelyard.config.tracing import TracingOptions
from steelyard.model.errors import ConfigError
from steelyard.policies.prefix_index import LEAST_TABLE_WORDS
from steelyard.policies.routing.registry import DEFAULT_POLICY


def _check_url(url: str) -> None:
    """A replica's address: scheme, host, port and path, nothing that a person could read otherwise."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an open bracket, or a port that is no number up to 65535
        good = False
    _require(
        good and url.isascii() and url.isprintable() and " " not in url,
        f"replica url {url!r} cannot be used: it must look like http://HOST:PORT or https://HOST:PORT",
    )
    _require(
        not (parts.username or parts.password or parts.query or parts.fragment),
        f"replica url {url!r} has more than scheme, host, port and path: leave those out",
    )


def parse_address(text: str, key: str) -> tuple[str, int]:
    """HOST:PORT as a pair; an IPv6 host stands in brackets. Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535 or not host:
        raise ConfigError(
            f"{key} is {text!r}: it must be HOST:PORT, such as 127.0.0.1:8080 (port 0 takes a free one)"
        )
    return host, int(port)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaOptions:
    """One engine or server of a pool."""

    url: str  # http://HOST:PORT or https://HOST:PORT, with a path prefix if the engine has one
    id: str = ""  # a name for it, unique in the fleet; empty means its url
    weight: float = 1.0  # its share beside the others, for policies that weigh
    models: tuple[str, ...] = ()  # names it answers to; empty means: ask it (/v1/models)
    kv_capacity_tokens: int = 0  # tokens its KV cache holds; 0 means: as its metrics say
    kv_events: str = ""  # tcp://HOST:PORT where vLLM publishes its cache events; needs pyzmq; empty: unused
    kv_replay: str = ""  # tcp://HOST:PORT where it repeats them after a gap; empty: a gap forgets all

    def __post_init__(self) -> None:
        _check_url(self.url)
        _require(
            0 < self.weight < math.inf,
            f"weight of {self.url} is {self.weight}: it must be above 0 (1.0 is the default)",
        )
        _require(
            self.kv_capacity_tokens >= 0, f"kv_capacity_tokens of {self.url} is below 0: use 0 for unknown"
        )
        for key in ("kv_events", "kv_replay"):
            endpoint = getattr(self, key)
            host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
            _require(
                not endpoint
                or (endpoint.startswith("tcp://") and host not in ("", "*") and port.isdecimal()),
                f"{key} of {self.url} is {endpoint!r}: it must look like tcp://HOST:5557",
            )

    @property
    def name(self) -> str:
        """The id, or what stands for it."""
        return self.id or self.url.partition("://")[2].rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutOptions:
    """Separate budgets; each fires by itself."""

    connect_timeout_s: float = 1.0  # engines are near: a connection takes microseconds or never comes
    head_timeout_s: float = 300.0  # a plain (not streamed) answer begins only when it is complete
    first_token_timeout_s: float = 120.0  # after the head: a long prompt may prefill for tens of seconds
    between_tokens_timeout_s: float = 60.0  # silence in the middle of an answer
    total_timeout_s: float = 3600.0  # the whole answer, however steadily it comes

    def __post_init__(self) -> None:
        names = ("connect", "head", "first_token", "between_tokens", "total")
        _require_above(self, "timeouts", *(f"{name}_timeout_s" for name in names))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """Tries after the first, only while the client has seen nothing."""

    max_retries: int = 3  # tries after the first
    budget_fraction: float = 0.2  # at most this share of live requests may be retries (Envoy's 20 %)
    budget_min_per_s: float = 3.0  # but always this many a second, so that a quiet pool may retry too

    def __post_init__(self) -> None:
        _require_not_below(self, "retries", "max_retries", "budget_min_per_s")
        _require_fraction(self, "retries", "budget_fraction")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthOptions:
    """Active probes, made by the supervisor."""

    path: str = "/health"  # what vLLM, SGLang and llama.cpp answer on
    interval_s: float = 1.0  # a dead engine is noticed by traffic at once; this is for quiet ones
    timeout_s: float = 2.0  # a busy engine may answer late
    unhealthy_after: int = 3  # one failed probe says nothing: a busy engine is not a dead one
    metrics_path: str = (
        "/metrics"  # where an openai pool's engines report their load; empty: they are not asked
    )
    metrics_interval_s: float = 1.0  # how often they are asked

    def __post_init__(self) -> None:
        _require_above(self, "health", "interval_s", "timeout_s", "unhealthy_after", "healthy_after")
        _require_above(self, "health", "metrics_interval_s")
        _require(
            self.metrics_path == "" or self.metrics_path.startswith("/"),
            f"health.metrics_path is {self.metrics_path!r}: it must begin with a slash, such as /metrics",
        )
        written = self.path.isascii() and self.path.isprintable() and " " not in self.path
        _require(
            self.path.startswith("/") and written,
            f"health.path is {self.path!r}: it must begin with a slash and hold no blank, such as /health",
        )

    healthy_after: int = 1  # probes that must succeed before it is used again


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierOptions:
    """Passive ejection, from what traffic meets."""

    consecutive_failures: int = 3  # lost connections, timeouts and 5xx in a row; 4xx never counts
    base_ejection_s: float = 1.0  # doubled with each ejection in a row
    max_ejection_s: float = 60.0  # but never longer than this
    max_ejected_fraction: float = 0.5  # never eject more than this share of a pool

    def __post_init__(self) -> None:
        _require_above(self, "outlier", "consecutive_failures", "base_ejection_s", "max_ejection_s")
        _require_fraction(self, "outlier", "max_ejected_fraction")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamOptions:
    """Kept connections to each replica, a worker."""

    max_idle_connections: int = 256  # more would only take memory on both sides
    idle_timeout_s: float = 4.0  # sooner than uvicorn, under most engines, closes its own (5 s)

    def __post_init__(self) -> None:
        _require_not_below(self, "upstream", "max_idle_connections")
        _require_above(self, "upstream", "idle_timeout_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Streamed answers that go on elsewhere when their engine is lost, hangs or crawls."""

    continuation: Literal["off", "auto", "on"] = (
        "auto"  # auto: unless chance was asked for and only a repetition could follow; on: even then
    )
    engine: Literal["", "vllm", "sglang", "llama.cpp"] = (
        ""  # how a partial message is continued; empty: not known, so the whole request is repeated
    )
    max_continuations: int = 3  # engines after the first, for one answer
    slow_factor: float = 20.0  # so many times slower than the pool's median is a crawl; 0: nothing is
    slow_window_s: float = 10.0  # over so long

    def __post_init__(self) -> None:
        _require_not_below(self, "streams", "max_continuations", "slow_factor")
        _require_above(self, "streams", "slow_window_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """A group of replicas that share one policy."""

    name: str = "default"  # routes name it, and so do metrics
    kind: Literal["openai", "http"] = (
        "openai"  # openai: bodies are read for model and prompt; http: they are not
    )
    policy: str = DEFAULT_POLICY  # see `steelyard policies`
    shadow: str = ""  # a second policy that decides beside the live one and does nothing; empty: none
    replicas: tuple[ReplicaOptions, ...] = ()  # at least one: [[pools.replicas]]
    hash_on: str = (
        ""  # for hash-ring and sticky-session: "path" or "header:NAME"; empty: the `user` of the body
    )
    kv_events_topic: str = ""  # what the topic of its engines' cache events begins with; empty: any
    model: str = ""  # the model's name at these replicas; empty: the name that the client gave
    panic_fraction: float = 0.5  # with fewer healthy than this share, all that are not drained are used
    slow_start_s: float = 5.0  # a replica that came back gets a growing share over this time
    timeouts: TimeoutOptions = field(default_factory=TimeoutOptions)  # see [pools.timeouts]
    retries: RetryOptions = field(default_factory=RetryOptions)  # see [pools.retries]
    health: HealthOptions = field(default_factory=HealthOptions)  # see [pools.health]
    outlier: OutlierOptions = field(default_factory=OutlierOptions)  # see [pools.outlier]
    upstream: UpstreamOptions = field(default_factory=UpstreamOptions)  # see [pools.upstream]
    admission: AdmissionOptions = field(default_factory=AdmissionOptions)  # see [pools.admission]
    engine: EngineAccessOptions = field(default_factory=EngineAccessOptions)  # see [pools.engine]
    streams: StreamOptions = field(default_factory=StreamOptions)  # see [pools.streams]

    def __post_init__(self) -> None:
        _require_fraction(self, "pools", "panic_fraction")
        _require_not_below(self, "pools", "slow_start_s")
        _require(
            self.hash_on in ("", "path") or (self.hash_on.startswith("header:") and len(self.hash_on) > 7),
            f'hash_on of pool {self.name!r} is {self.hash_on!r}: it must be "path" or "header:NAME"',
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """Which pool serves a path; the longest prefix wins, routes with a host first."""

    path_prefix: str = "/"  # what the path of a request must begin with
    pool: str = "default"  # the name of the pool that serves it
    host: str = ""  # only for this Host; empty means any

    def __post_init__(self) -> None:
        _require(
            self.path_prefix.startswith("/"),
            f"path_prefix is {self.path_prefix!r}: it must begin with a slash, such as /v1/",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """What a client may take."""

    max_head_bytes: int = 32_768  # of a request's head; more is answered 431
    max_header_count: int = 128  # lines of a head; more is answered 431
    max_body_bytes: int = 67_108_864  # 64 MiB: images travel inside chat bodies
    max_connections: int = 20_000  # a worker
    client_head_timeout_s: float = 10.0  # from a head's first byte to its last
    client_body_timeout_s: float = 60.0  # between two pieces of a body
    min_body_bytes_per_s: float = 500.0  # over all of a body, after the timeout's grace; 0: no least rate
    client_idle_timeout_s: float = 75.0  # a kept connection without a request

    def __post_init__(self) -> None:
        counts = ("max_head_bytes", "max_header_count", "max_body_bytes", "max_connections")
        times = ("client_head_timeout_s", "client_body_timeout_s", "client_idle_timeout_s")
        _require_above(self, "limits", *counts, *times)
        _require_not_below(self, "limits", "min_body_bytes_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The whole configuration of a gateway."""

    listen: str = "127.0.0.1:8080"  # where requests come in
    admin: str = "127.0.0.1:9090"  # metrics and actions; keep it on loopback
    workers: int = field(
        default_factory=lambda: len(os.sched_getaffinity(0))
    )  # processes; default: one a core
    access_log: str = ""  # a file for one JSON line a request; empty: none
    access_log_decisions: bool = False  # its lines also say why, and hash the prompt: `steelyard replay-log`
    pick_header: bool = False  # answers say in X-Steelyard-Pick which replica was picked, and why
    drain_timeout_s: float = 30.0  # how long requests under way may take after SIGTERM
    stalled_worker_timeout_s: float = 10.0  # a worker whose event loop stands still for longer is replaced
    old_worker_timeout_s: float = 3600.0  # how long they may take in workers that a reload replaced
    seed: int = 0  # of the policies' chance; 0 takes a fresh one at each start
    prefix_index_entries: int = 1 << 19  # (block, replica) pairs remembered; a power of two, 8 bytes each
    limits: LimitOptions = field(default_factory=LimitOptions)
    pools: tuple[PoolOptions, ...] = ()  # at least one: [[pools]]
    routes: tuple[RouteOptions, ...] = ()  # [[routes]]; with one pool all paths lead to it
    models: tuple[ModelOptions, ...] = ()  # [[models]]: names that lead to several pools
    trusted_proxies: tuple[
        str, ...
    ] = ()  # addresses, networks: their X-Forwarded-* and Forwarded are believed
    fallback: FallbackOptions = field(default_factory=FallbackOptions)  # see [fallback]
    tls: TlsOptions = field(default_factory=TlsOptions)  # see below
    keys: KeyOptions = field(default_factory=KeyOptions)  # see below
    tenants: tuple[TenantOptions, ...] = ()  # [[tenants]]; none: everybody may ask for everything
    admin_access: AdminOptions = field(default_factory=AdminOptions)  # see below
    tracing: TracingOptions = field(default_factory=TracingOptions)  # see below
    console: ConsoleOptions = field(default_factory=ConsoleOptions)  # see [console]

    def __post_init__(self) -> None:
        same = parse_address(self.listen, "listen") == parse_address(self.admin, "admin")
        _require(
            not same or self.listen.endswith(":0"),
            f"listen and admin are both {self.listen}: give one of them another port",
        )
        _require_not_below(self, "configuration", "drain_timeout_s", "old_worker_timeout_s")
        _require_above(self, "configuration", "stalled_worker_timeout_s")
        safe = self.admin_access.key_file or self.admin_access.tls.client_ca_file
        _require(
            bool(safe) or is_loopback(parse_address(self.admin, "admin")[0]),
            f"admin is {self.admin}, which others can reach: give admin_access a key_file or "
            "tls.client_ca_file, or keep it on 127.0.0.1",
        )
        check_tenants(self.tenants, self.keys)
        entries = self.prefix_index_entries
        _require(
            LEAST_TABLE_WORDS <= entries <= 1 << 27 and not entries & (entries - 1),
            f"prefix_index_entries is {entries}: it must be a power of two, {LEAST_TABLE_WORDS:,} to 2^27; "
            "eight for each block of 256 tokens that the fleet's caches hold is plenty",
        )
        _require(1 <= self.workers <= 64, f"workers is {self.workers}: it must be 1 to 64")
        _require(
            bool(self.pools),
            "there is no pool: name an engine with --engine URL, or add [[pools]] to the file",
        )
        pools = [pool.name for pool in self.pools]
        _require(len(set(pools)) == len(pools), f"two pools have one name (names are {', '.join(pools)})")
        for index, pool in enumerate(self.pools):
            if not pool.replicas:
                raise ConfigError(
                    f"pool {pool.name!r} has no replicas: add [[pools.replicas]] with a url", ("pools", index)
                )
        self._check_replicas()
        self._check_routes(pools)
        check_models(self.models, pools)
        check_networks(self.trusted_proxies)

    def _check_replicas(self) -> None:
        seen: set[str] = set()
        for index, pool in enumerate(self.pools):
            for at, replica in enumerate(pool.replicas):
                if replica.name in seen:
                    raise ConfigError(
                        f"replica {replica.name!r} is named twice: give one of them another id",
                        ("pools", index, "replicas", at),
                    )
                seen.add(replica.name)
        _require(len(seen) <= 1024, f"there are {len(seen)} replicas: 1024 is the most")

    def _check_routes(self, pools: list[str]) -> None:
        seen: set[tuple[str, str]] = set()
        for index, route in enumerate(self.routes):
            place = (route.host.lower(), route.path_prefix)
            if place in seen:
                raise ConfigError(
                    f"two routes have one host and path_prefix ({place}): only one could ever be used",
                    ("routes", index),
                )
            seen.add(place)
            if route.pool not in pools:
                raise ConfigError(
                    f"route {route.path_prefix} leads to pool {route.pool!r}: pools are {', '.join(pools)}",
                    ("routes", index, "pool"),
                )
