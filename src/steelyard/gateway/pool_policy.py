"""The policy objects of one pool in one worker: the live one, and a shadow beside it if it is asked for."""

from steelyard.config.plugins import make_policy
from steelyard.config.schema import PoolOptions
from steelyard.model.chance import Rng
from steelyard.model.routing_policy import RoutingPolicy
from steelyard.routing.shadow import Shadowed


def pool_policy(options: PoolOptions, rng: Rng) -> RoutingPolicy:
    """Make what the options name. Raises ConfigError."""
    live = make_policy(options.policy, rng)
    return Shadowed(live, make_policy(options.shadow, rng)) if options.shadow else live
