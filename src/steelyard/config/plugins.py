"""Policies by name: ours, and those that installed packages offer in the entry-point group
`steelyard.routing_policies`.

An entry point names a factory that takes a generator of chance and returns a policy. Loaded once at
start.
"""

from functools import cache
from importlib.metadata import entry_points

from steelyard.model.chance import Rng
from steelyard.model.errors import ConfigError
from steelyard.model.routing_policy import RoutingPolicy
from steelyard.policies.routing.registry import POLICIES, Factory, unknown_policy

GROUP = "steelyard.routing_policies"


@cache
def _offered() -> dict[str, Factory]:
    """Factories by name; ours cannot be replaced."""
    factories: dict[str, Factory] = {}
    for point in entry_points(group=GROUP):
        try:
            factories[point.name] = point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"the policy {point.name!r} of {point.value} cannot be loaded: {error}"
            ) from None
    return factories | POLICIES


def check_policy_name(name: str) -> None:
    """Raises ConfigError, naming the nearest, when no policy has this name."""
    if name not in _offered():
        raise unknown_policy(name, _offered())


def make_policy(name: str, rng: Rng) -> RoutingPolicy:
    """A new policy. Raises ConfigError for an unknown name."""
    check_policy_name(name)
    return _offered()[name](rng)
