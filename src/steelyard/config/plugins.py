"""Policies by name: ours, and those that installed packages offer in the entry-point group
`steelyard.routing_policies`.

An entry point names a factory that takes a generator of chance and returns a policy. Loaded once at
start.
"""

import inspect
from functools import cache
from importlib.metadata import entry_points

from steelyard.model.chance import Rng
from steelyard.model.errors import ConfigError
from steelyard.model.routing_policy import RoutingPolicy
from steelyard.policies.routing.registry import POLICIES, POLICY_SUMMARIES, Factory, unknown_policy

GROUP = "steelyard.routing_policies"


@cache
def _offered() -> dict[str, Factory]:
    """Factories by name; ours cannot be replaced."""
    factories: dict[str, Factory] = {}
    for point in entry_points(group=GROUP):
        try:
            factories[point.name] = point.load()
        except Exception as error:  # noqa: BLE001 - what others wrote may raise anything when it is imported
            raise ConfigError(
                f"the policy {point.name!r} of {point.value} cannot be loaded: {_said(error)}: "
                "mend or uninstall the package that offers it"
            ) from None
    return factories | POLICIES


def _said(error: Exception) -> str:
    """What an error says, on one line, with its kind."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


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
    except Exception as error:  # noqa: BLE001 - as above
        raise ConfigError(f"the policy {name!r} cannot be made: {_said(error)}") from None
    if not callable(getattr(policy, "pick", None)):
        raise ConfigError(f"the policy {name!r} has no method pick(request, eligible, fleet, now_s)")
    return policy
