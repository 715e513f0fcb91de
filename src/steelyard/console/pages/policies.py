"""What decides in each pool, and what its shadow would have done."""

import asyncio
from typing import Any

from steelyard.console.page import Context, Page, Query
from steelyard.console.watch import Watch
from steelyard.model.errors import SteelyardError
from steelyard.policies.routing.registry import POLICIES

PAIRS = 12


async def context(watch: Watch, query: Query) -> Context:
    """Live beside shadow, and the reasons of the last picks."""
    try:
        pools: list[dict[str, Any]] = [
            {
                "name": pool.name,
                "policy": pool.policy,
                "shadow": pool.shadow,
                "replicas": len(pool.replicas),
                "kind": pool.kind,
            }
            for pool in watch.gateway.configuration.pools
        ]
    except SteelyardError:
        pools = []
    shadows, picks = await _asked(watch, query) if pools else ({}, [])
    for pool in pools:
        reasons: dict[str, int] = {}
        for pick in picks:
            if pick["pool"] == pool["name"]:
                reasons[pick["reason"]] = reasons.get(pick["reason"], 0) + 1
        pool["reasons"] = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        pool["picks"] = sum(reasons.values())
        pool["report"] = shadows.get(pool["name"])
    return {"pools": pools, "known": sorted(POLICIES), "pairs_shown": PAIRS}


async def _asked(watch: Watch, query: Query) -> tuple[dict[str, Any], list[Any]]:
    """Both at once: a first paint waits for the slower one, not for their sum."""
    ask = watch.workers.ask_or_none
    said, picks = await asyncio.gather(
        ask("shadow", watch.gateway.shadow, query.patience_s),
        ask("picks ", watch.gateway.picks, query.patience_s),
    )
    return {pool["pool"]: pool for pool in (said or {}).get("pools", [])}, picks or []


PAGE = Page("policies", "Policies", context, ("policy_pools",))
