"""One gateway and the misbehaving engines behind it, for the fault tests."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.harness.chaos_engine import ChaosEngine, Received, black_hole, chaos_engines, closed_port, good
from tests.harness.processes import Running, configured_gateway
from tests.harness.raw_client import Answer, ask, post

HEAD_TIMEOUT_S = 1.0
BETWEEN_TIMEOUT_S = 0.6

_LIMITS = """
workers = 1
[limits]
client_head_timeout_s = 0.6
client_body_timeout_s = 0.6
max_body_bytes = 200000
"""
_POOL = """
[[routes]]
path_prefix = "/{name}/"
pool = "{name}"
[[pools]]
name = "{name}"
policy = "round-robin"
[pools.health]
interval_s = 60
[pools.outlier]
consecutive_failures = 1000
[pools.timeouts]
connect_timeout_s = 0.3
head_timeout_s = 1.0
first_token_timeout_s = 0.6
between_tokens_timeout_s = 0.6
total_timeout_s = 20
"""


@dataclass(slots=True)
class FaultFleet:
    """Pool `one` has an engine, pool `two` has two, others have engines that cannot be reached."""

    front: Running
    one: ChaosEngine
    two: list[ChaosEngine]
    spare: ChaosEngine

    @property
    def url(self) -> str:
        """The gateway."""
        return self.front.addresses["gateway"]

    def calm(self) -> None:
        """All engines behave well from now on, and remember no requests."""
        for engine in (self.one, *self.two, self.spare):
            engine.behaviour = good
            engine.requests.clear()

    def ask_one(self, data: bytes | None = None) -> Answer:
        """A request to the pool of one engine."""
        return ask(self.url, post("/one/v1/chat/completions") if data is None else data)

    def first_of_two(self, behaviour: object) -> list[Received]:
        """Whichever of pool `two` is asked first behaves so; the other is good. Returns what they get."""
        seen: list[Received] = []

        def behave(client: object, request: Received) -> bool:
            seen.append(request)
            chosen = behaviour if len(seen) == 1 else good
            return bool(chosen(client, request))  # type: ignore[operator]  # a behaviour is any callable

        for engine in self.two:
            engine.behaviour = behave
        return seen


def pool(name: str, *urls: str) -> str:
    """A pool's configuration; ids are made unique by the pool's name."""
    replicas = "".join(
        f'[[pools.replicas]]\nurl = "{url}"\nid = "{name}-{number}"\n' for number, url in enumerate(urls)
    )
    return _POOL.format(name=name) + replicas


@contextlib.contextmanager
def fault_fleet(folder: Path) -> Iterator[FaultFleet]:
    """All of it, for the length of a block."""
    with (
        chaos_engines(good, good, good, good) as (one, *two, spare),
        closed_port() as refused,
        black_hole() as silent,
    ):
        pools = (
            pool("one", one.url),
            pool("two", *(each.url for each in two)),
            pool("refused", refused),
            pool("halfrefused", refused, spare.url),
            pool("silent", silent),
            pool("halfsilent", silent, spare.url),
        )
        with configured_gateway(folder, _LIMITS + "".join(pools)) as front:
            yield FaultFleet(front, one, two, spare)
