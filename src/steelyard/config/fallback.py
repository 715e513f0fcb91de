"""The keys of models that several pools can answer for, one after the other."""

import math
from dataclasses import dataclass
from ipaddress import ip_network

from steelyard.config.checks import require as _require


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """A model name that leads to several pools, in order; it wins over the route's pool."""

    name: str  # as clients write it
    pools: tuple[str, ...] = ()  # tried one after the other: own replicas, another site, a hosted service
    larger: str = ""  # the pool for prompts that these find too long, asked once; empty: none

    def __post_init__(self) -> None:
        _require(bool(self.name), "a [[models]] entry has no name: give the name that clients write")
        _require(bool(self.pools), f"model {self.name!r} has no pools: name at least one")
        _require(
            len(set(self.pools)) == len(self.pools), f"model {self.name!r} names a pool twice: name each once"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackOptions:
    """Bounds of the tries over a model's pools."""

    max_attempts: int = 4  # pools asked for one request, the first included
    total_timeout_s: float = 60.0  # no try begins later than this after the request
    backoff_s: float = 0.05  # before the second try; doubled with each, between half and all of it by chance
    max_backoff_s: float = 1.0  # however many tries there were
    short_wait_s: float = 2.0  # the longest Retry-After that is waited out before the next pool is asked
    circuit_failures: int = 5  # in a row: then a pool is left alone
    circuit_open_s: float = 2.0  # for so long, doubled each time that a probe fails
    circuit_max_open_s: float = 60.0  # but never longer than this
    circuit_probes: int = 2  # requests, one at a time, that must go well before all traffic comes back

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            _require(
                math.isfinite(value) and value > 0,
                f"fallback.{name} is {value}: it must be above 0 and finite",
            )


def check_networks(networks: tuple[str, ...]) -> None:
    """Raises ConfigError for what is neither an address nor a network."""
    for text in networks:
        try:
            ip_network(text, strict=False)
        except ValueError:
            _require(
                False,
                f"trusted_proxies has {text!r}: each must be an address, or a network such as 10.0.0.0/8",
            )


def check_models(models: tuple[ModelOptions, ...], pools: list[str]) -> None:
    """Raises ConfigError for a model named twice, or a pool that is not there."""
    names = [model.name for model in models]
    _require(len(set(names)) == len(names), f"two [[models]] have one name (names are {', '.join(names)})")
    for model in models:
        for pool in (*model.pools, *((model.larger,) if model.larger else ())):
            _require(
                pool in pools, f"model {model.name!r} leads to pool {pool!r}: pools are {', '.join(pools)}"
            )
