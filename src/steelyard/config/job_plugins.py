"""Policies of the jobs plane by name: ours, and those that installed packages offer in the entry-point
groups `steelyard.placement_policies`, `steelyard.ordering_policies` and `steelyard.rebalancing_policies`.

A placement's entry point names a factory that takes `PlacementSettings`; the others take nothing. Ours
cannot be replaced.
"""

import inspect
from collections.abc import Callable
from typing import Any

from steelyard.config.entry_points import offered, said
from steelyard.model.errors import ConfigError, nearest_or_known
from steelyard.model.ordering_policy import OrderingPolicy
from steelyard.model.placement_policy import PlacementPolicy
from steelyard.model.rebalancing_policy import RebalancingPolicy
from steelyard.policies.ordering.registry import ORDERING_SUMMARIES, ORDERINGS
from steelyard.policies.placement.registry import PLACEMENT_SUMMARIES, PLACEMENTS
from steelyard.policies.rebalancing.registry import REBALANCING_SUMMARIES, REBALANCINGS
from steelyard.policies.settings import PlacementSettings

GROUPS = {
    "placement": "steelyard.placement_policies",
    "ordering": "steelyard.ordering_policies",
    "rebalancing": "steelyard.rebalancing_policies",
}
# Method → how it is called, for the sentence that says what is missing.
_METHODS = {
    "placement": (("place", "claim, nodes, now_s"),),
    "ordering": (
        ("ranked", "queue, view, now_s"),
        ("queued_key", "job, now_s"),
        ("running_key", "running, now_s"),
    ),
    "rebalancing": (("proposals", "running, nodes, placement, now_s"),),
}
_OURS: dict[str, tuple[dict[str, Callable[..., Any]], dict[str, str]]] = {
    "placement": (dict(PLACEMENTS), PLACEMENT_SUMMARIES),
    "ordering": (dict(ORDERINGS), ORDERING_SUMMARIES),
    "rebalancing": (dict(REBALANCINGS), REBALANCING_SUMMARIES),
}


def policy_summaries(kind: str) -> dict[str, str]:
    """All policies of a kind with a line on each: ours, then those of installed packages, by the first line
    of their docstring.
    """
    ours, summaries = _OURS[kind]
    others = {name: factory for name, factory in offered(GROUPS[kind]).items() if name not in ours}
    return dict(summaries) | {
        name: (inspect.getdoc(factory) or "no description").partition("\n")[0]
        for name, factory in sorted(others.items())
    }


def make_placement(name: str, settings: PlacementSettings) -> PlacementPolicy:
    """A fresh policy. Raises ConfigError for a name that none has, or one that cannot be made."""
    made: PlacementPolicy = _make("placement", name, settings)
    return made


def make_ordering(name: str) -> OrderingPolicy:
    """A fresh policy. Raises ConfigError as `make_placement`."""
    made: OrderingPolicy = _make("ordering", name)
    if not isinstance(getattr(made, "preemptive", None), bool):
        raise ConfigError(f"the ordering policy {name!r} does not say whether it is preemptive")
    return made


def make_rebalancing(name: str) -> RebalancingPolicy | None:
    """A fresh policy, or None for "none". Raises ConfigError as `make_placement`."""
    made: RebalancingPolicy | None = _make("rebalancing", name)
    return made


def _make(kind: str, name: str, *arguments: object) -> Any:
    ours, _ = _OURS[kind]
    if name in ours:
        return ours[name](*arguments)
    factories = offered(GROUPS[kind])
    if name not in factories:
        known = [*ours, *sorted(factories)]
        raise ConfigError(f"unknown {kind} policy {name!r}: {nearest_or_known(name, known)}")
    try:
        policy = factories[name](*arguments)
    except Exception as error:  # noqa: BLE001 - what others wrote may raise anything
        raise ConfigError(f"the {kind} policy {name!r} cannot be made: {said(error)}") from None
    for method, call in _METHODS[kind]:
        if not callable(getattr(policy, method, None)):
            raise ConfigError(f"the {kind} policy {name!r} has no method {method}({call})")
    return policy
