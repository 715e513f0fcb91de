"""The policy objects of one pool in one worker: the live one, on the index that all workers share, and a
shadow beside it if it is asked for, which has memory of its own.
"""

from steelyard.config.plugins import make_policy
from steelyard.config.schema import PoolOptions
from steelyard.model.chance import Rng
from steelyard.model.routing_policy import RoutingPolicy
from steelyard.policies.prefix_index import PrefixIndex
from steelyard.routing.shadow import Shadowed


def pool_policy(options: PoolOptions, rng: Rng, index: PrefixIndex | None = None) -> RoutingPolicy:
    """Make what the options name. Raises ConfigError.

    index: what a policy that keeps one uses in place of its own. Pools may share it: their slots differ.
    """
    live = make_policy(options.policy, rng)
    # One attribute that all policies with an index have, whoever wrote them.
    if index is not None and isinstance(getattr(live, "index", None), PrefixIndex):
        live.index = index  # type: ignore[attr-defined]  # only policies that have one get it
    return Shadowed(live, make_policy(options.shadow, rng)) if options.shadow else live
