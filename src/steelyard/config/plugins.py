"""Policies by name: ours, and those that installed packages offer in the entry-point group
`steelyard.routing_policies`.

An entry point names a factory that takes a generator of chance and returns a policy. Loaded once at
start.
"""

import inspect

from steelyard.config.entry_points import offered, said
from steelyard.model.chance import Rng
from steelyard.model.errors import ConfigError
from steelyard.model.routing_policy import RoutingPolicy
from steelyard.policies.routing.registry import POLICIES, POLICY_SUMMARIES, Factory, unknown_policy

GROUP = "steelyard.routing_policies"


def _offered() -> dict[str, Factory]:
    """Factories by name; ours cannot be replaced."""
    return offered(GROUP) | POLICIES


def summaries() -> dict[str, str]:
    """All policies with a line on each: ours, then those of installed packages, by the first line of their
    docstring.
    """
    others = sorted(set(_offered()) - set(POLICIES))
    return dict(POLICY_SUMMARIES) | {
        name: (inspect.getdoc(_offered()[name]) or "no description").partition("\n")[0] for name in others
    }


def check_policy_name(name: str) -> None:
    """Raises ConfigError, naming the nearest, when no policy has this name."""
    if name not in _offered():
        raise unknown_policy(name, _offered())


def make_policy(name: str, rng: Rng) -> RoutingPolicy:
    """A new policy. Raises ConfigError for an unknown name."""
    check_policy_name(name)
    factory = _offered()[name]
    if name in POLICIES:
        return factory(rng)
    try:
        policy = factory(rng)
    except Exception as error:  # noqa: BLE001 - what others wrote may raise anything
        raise ConfigError(f"the policy {name!r} cannot be made: {said(error)}") from None
    if not callable(getattr(policy, "pick", None)):
        raise ConfigError(f"the policy {name!r} has no method pick(request, eligible, fleet, now_s)")
    return policy
