"""What decides in each pool, and what its shadow would have done."""

from steelyard.console.page import Context, Page, Query
from steelyard.console.watch import Watch
from steelyard.model.errors import SteelyardError
from steelyard.policies.routing.registry import POLICIES

PAIRS = 12


async def context(watch: Watch, query: Query) -> Context:
    """Live beside shadow, and the reasons of the last picks."""
    try:
        pools = [
            {
                "name": pool.name,
                "policy": pool.policy,
                "shadow": pool.shadow,
                "replicas": len(pool.replicas),
                "kind": pool.kind,
            }
            for pool in watch.gateway.configuration.pools
        ]
        shadows = {pool["pool"]: pool for pool in (await watch.gateway.shadow()).get("pools", [])}
        picks = await watch.gateway.picks()
    except SteelyardError:
        pools, shadows, picks = [], {}, []
    for pool in pools:
        reasons: dict[str, int] = {}
        for pick in picks:
            if pick["pool"] == pool["name"]:
                reasons[pick["reason"]] = reasons.get(pick["reason"], 0) + 1
        pool["reasons"] = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        pool["picks"] = sum(reasons.values())
        pool["report"] = shadows.get(pool["name"])
    return {"pools": pools, "known": sorted(POLICIES), "pairs_shown": PAIRS}


PAGE = Page("policies", "Policies", context, ("policy_pools",))
