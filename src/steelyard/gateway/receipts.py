"""Why a request went where it went: the last picks of one worker, written out only when somebody asks.

A pick already carries its own account (candidates, the term that decided, the reason); a receipt keeps a
reference to it in a ring of fixed size, so that a request pays for one list entry. Cost: 0.3 µs a pick
(packing the same into a binary record cost 0.8 to 1.5 µs), and about 1 KiB a kept receipt. What a killed
worker had kept is lost; the access log is the lasting account.
"""

from collections.abc import Iterator
from time import time
from typing import Any, Final

from steelyard.model.fleet import Fleet
from steelyard.model.pick import Pick

KEPT: Final = 4096  # a power of two: the place in the ring is a mask away
MAX_SHOWN: Final = 16  # of candidates; some policies look at every replica

_Receipt = tuple[bytes, str, Pick, int, int, float]


class Receipts:
    """One worker's ring."""

    __slots__ = ("_count", "_ring")

    def __init__(self, kept: int = KEPT) -> None:
        if kept & (kept - 1) or kept < 1:
            raise ValueError(f"kept is {kept}: it must be a power of two")
        self._ring: list[_Receipt | None] = [None] * kept
        self._count = 0

    def note(
        self, request_id: bytes, pool: str, pick: Pick, prompt_tokens: int, attempt: int, now_s: float
    ) -> None:
        """A pick was made. attempt: 1 for the first try; now_s: monotonic."""
        count = self._count
        self._ring[count & (len(self._ring) - 1)] = (request_id, pool, pick, prompt_tokens, attempt, now_s)
        self._count = count + 1

    def find(self, request_id: bytes, fleet: Fleet, now_s: float) -> list[dict[str, Any]]:
        """The picks of one request, first try first; [] when none is kept."""
        found = [each for each in self._newest_first() if each[0] == request_id]
        return [describe(each, fleet, now_s) for each in reversed(found)]

    def latest(self, count: int, fleet: Fleet, now_s: float) -> list[dict[str, Any]]:
        """The last picks, newest first."""
        newest = zip(range(count), self._newest_first(), strict=False)
        return [describe(each, fleet, now_s) for _, each in newest]

    def matching(self, text: str, count: int, fleet: Fleet, now_s: float) -> list[dict[str, Any]]:
        """The last picks whose request, pool, replica or reason a text occurs in, newest first.

        Cost: 3 ms when it looks at all that is kept; only for a person who searches.
        """
        found: list[dict[str, Any]] = []
        for each in self._newest_first():
            pick = each[2]
            named = (each[0].decode("latin-1"), each[1], pick.reason, _name(fleet, pick.slot))
            if any(text in name for name in named):
                found.append(describe(each, fleet, now_s))
                if len(found) >= count:
                    break
        return found

    def _newest_first(self) -> Iterator[_Receipt]:
        size = len(self._ring)
        for back in range(1, min(self._count, size) + 1):
            receipt = self._ring[(self._count - back) & (size - 1)]
            if receipt is not None:
                yield receipt


def describe(receipt: _Receipt, fleet: Fleet, now_s: float) -> dict[str, Any]:
    """A receipt with names in place of slots."""
    request_id, pool, pick, prompt_tokens, attempt, at_s = receipt
    return {
        "request_id": request_id.decode("latin-1"),
        "at": round(time() - (now_s - at_s), 6),
        "pool": pool,
        "attempt": attempt,
        "prompt_tokens": prompt_tokens,
        **decision(pick, fleet),
    }


def decision(pick: Pick, fleet: Fleet) -> dict[str, Any]:
    """What a pick says of itself: also the access log's decision fields."""
    scores = dict(zip(pick.candidates, pick.scores, strict=False))
    shown = sorted(pick.candidates, key=lambda slot: scores.get(slot, 0.0))[:MAX_SHOWN]
    if pick.slot in scores and pick.slot not in shown:
        shown[-1] = pick.slot
    return {
        "replica": _name(fleet, pick.slot),
        "reason": pick.reason,
        "matched_tokens": pick.matched_tokens,
        "work_tokens": round(pick.work_tokens),
        "compared": len(pick.candidates),
        "candidates": [
            {"replica": _name(fleet, slot), "score": float(f"{scores[slot]:.6g}") if slot in scores else None}
            for slot in shown
        ],
    }


def header(pick: Pick, fleet: Fleet) -> bytes:
    """The opt-in response header: one line, without its end."""
    scores = dict(zip(pick.candidates, pick.scores, strict=False))
    score = f"{scores[pick.slot]:.6g}" if pick.slot in scores else ""
    return (
        f"X-Steelyard-Pick: replica={_printable(_name(fleet, pick.slot))}; reason={_printable(pick.reason)}; "
        f"score={score}; matched_tokens={pick.matched_tokens}; compared={len(pick.candidates)}"
    ).encode("ascii")


def _name(fleet: Fleet, slot: int) -> str:
    return fleet.ids[slot] if 0 <= slot < len(fleet.ids) else ""


def _printable(name: str) -> str:
    """A replica's id as it may stand in a header: an operator may have named it anything."""
    return "".join(each if "!" <= each <= "~" and each != ";" else "_" for each in name)
