"""The last requests, and why one of them went where it went."""

import asyncio
from typing import Any

from steelyard.console import access_tail
from steelyard.console.page import Context, Page, Query
from steelyard.console.watch import Watch
from steelyard.model.errors import SteelyardError

SHOWN = 50
NEAR = 0.1  # of the best score: within it, a choice that is not the best is called a near-tie


async def context(watch: Watch, query: Query) -> Context:
    """A list of picks, with what the access log says of them, and one receipt drawn."""
    text, request_id = query.text("q")[:200], query.text("id")[:200]
    # Both at once: a first paint waits for the slower one, not for their sum.
    picks, receipt = await asyncio.gather(
        watch.workers.ask_or_none(f"picks {text}", lambda: watch.gateway.picks(text), query.patience_s),
        _receipt(watch, query, request_id),
    )
    log, listen = _from_configuration(watch)
    ended = access_tail.by_request(log) if log else {}
    return {
        "picks": [pick | {"ended": ended.get(pick["request_id"])} for pick in (picks or [])[:SHOWN]],
        "waiting": picks is None,
        "chosen": request_id,
        "log": log,
        "listen": listen,
        **receipt,
        "outcome": ended.get(request_id),
    }


def _from_configuration(watch: Watch) -> tuple[str, str]:
    """(access log, where requests come in); the latter may be any of the machine's addresses."""
    try:
        configuration = watch.gateway.configuration
    except SteelyardError:
        return "", "127.0.0.1:8080"
    return configuration.access_log, configuration.listen.replace("0.0.0.0", "127.0.0.1")


async def _receipt(watch: Watch, query: Query, request_id: str) -> Context:
    if not request_id:
        return {"tries": [], "missing": ""}
    try:
        why = await watch.workers.ask(
            f"why {request_id}", lambda: watch.gateway.why(request_id), query.patience_s
        )
    except SteelyardError as error:
        return {"tries": [], "missing": str(error)}
    return {"tries": [drawn(pick) for pick in why], "missing": ""}


def drawn(pick: dict[str, Any]) -> dict[str, Any]:
    """A receipt with the lengths of its bars, shares of the longest, 0..1.

    Scores may be negative or infinite in a policy of somebody's own: their bars are measured from the
    least finite score, or from 0 when all are above it, so that a longer bar is always a worse candidate.
    """
    known = [each["score"] for each in pick["candidates"] if each["score"] is not None]
    finite = [score for score in known if abs(score) < float("inf")]
    least, most = min([0.0, *finite]), max([0.0, *finite])
    best = min(finite, default=0.0)
    candidates = []
    for each in pick["candidates"]:
        score = each["score"]
        share = 0.0 if score is None else 1.0
        if score in finite and most > least:
            share = (score - least) / (most - least)
        elif score in finite:
            share = 0.0
        candidates.append(
            {
                **each,
                "share": share,
                "chosen": each["replica"] == pick["replica"],
                "above_best": score - best if score in finite else None,
                "near": score in finite and score - best <= NEAR * abs(best),
            }
        )
    prompt, cached = pick["prompt_tokens"], min(pick["matched_tokens"], pick["prompt_tokens"])
    longest = max(1, prompt, pick["work_tokens"])
    return {
        **pick,
        "candidates": candidates,
        "left": pick["compared"] - len(candidates),
        "cached_share": cached / longest,
        "fresh_share": (prompt - cached) / longest,
        "work_share": pick["work_tokens"] / longest,
    }


PAGE = Page("requests", "Requests", context, ("request_table", "request_receipt"))
