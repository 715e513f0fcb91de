"""All rebalancing policies by name: a literal dict."""

from collections.abc import Callable

from steelyard.model.rebalancing_policy import RebalancingPolicy
from steelyard.policies.rebalancing.budget import MoveBudget
from steelyard.policies.rebalancing.consolidation import Consolidation
from steelyard.policies.rebalancing.hot_nodes import SEED_EXAMPLE, HotNodes
from steelyard.policies.rebalancing.in_turn import InTurn

DEFAULT_REBALANCING = "hot-nodes"

REBALANCINGS: dict[str, Callable[[], RebalancingPolicy | None]] = {
    "hot-nodes": HotNodes,
    "none": lambda: None,
    "seed": lambda: HotNodes(SEED_EXAMPLE, MoveBudget(rest_s=0.0)),
    "consolidation": Consolidation,
    "hot-nodes-and-consolidation": lambda: InTurn((HotNodes(), Consolidation())),
}

REBALANCING_SUMMARIES: dict[str, str] = {
    "hot-nodes": "tasks leave hot nodes when that pays (the default)",
    "none": "nothing moves",
    "seed": "the seed's example: a node at 50 % CPU is hot",
    "consolidation": "little used nodes are emptied",
    "hot-nodes-and-consolidation": "both, hot nodes first",
}
