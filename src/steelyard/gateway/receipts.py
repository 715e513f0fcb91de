"""Why a request went where it went: the last picks of one worker, handed over only when somebody asks.

A pick already carries its own account (candidates, the term that decided, the reason); a receipt keeps a
reference to it in a ring of fixed size, so that a request pays for one list entry. Cost: 0.3 µs a pick
(packing the same into a binary record cost 0.8 to 1.5 µs), and about 1 KiB a kept receipt. What a killed
worker had kept is lost; the access log is the lasting account.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from steelyard.model.fleet import Fleet
from steelyard.model.pick import Pick

KEPT: Final = 4096  # a power of two: the place in the ring is a mask away
MAX_SHOWN: Final = 16  # of candidates; some policies look at every replica
MOST_OUT_OF_ORDER_S: Final = 1.0  # a request that waited or was tried again notes an earlier time

_Receipt = tuple[bytes, str, Pick, int, int, float]
# As it leaves the worker: number, request id, pool, attempt, prompt tokens, time of the pick (monotonic), and
# of the pick slot, reason, matched tokens, work tokens, how many were compared, candidates, their scores.
Packed = tuple[object, ...]


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

    def find(self, request_id: bytes) -> list[tuple[float, Pick]]:
        """When, monotonic, and what was picked for one request, first try first; [] when none is kept."""
        found = [(each[5], each[2]) for _, each in self._newest_first(0.0) if each[0] == request_id]
        found.reverse()
        return found

    def of_request(self, request_id: bytes, since_s: float) -> list[Packed]:
        """The picks of one request that were made after a time, newest first."""
        return [
            _packed(number, each, whole=True)
            for number, each in self._newest_first(since_s)
            if each[0] == request_id
        ]

    def newest(self, count: int, since_s: float, *, whole: bool) -> list[Packed]:
        """The last picks that were made after a time, newest first. whole: with their candidates."""
        found: list[Packed] = []
        for number, each in self._newest_first(since_s):
            if len(found) >= count:
                break
            found.append(_packed(number, each, whole=whole))
        return found

    def matching(self, text: str, count: int, fleet: Fleet, since_s: float, *, whole: bool) -> list[Packed]:
        """Those of them whose request, pool, replica or reason a text occurs in.

        Cost: 3 ms when it looks at all that is kept; only for a person who searches, and once.
        """
        found: list[Packed] = []
        for number, each in self._newest_first(since_s):
            pick = each[2]
            named = (each[0].decode("latin-1"), each[1], pick.reason, _name(fleet.ids, pick.slot))
            if any(text in name for name in named):
                found.append(_packed(number, each, whole=whole))
                if len(found) >= count:
                    break
        return found

    def _newest_first(self, since_s: float) -> Iterator[tuple[int, _Receipt]]:
        """Numbers and receipts that are not older than `since_s`, monotonic; they stand nearly by time."""
        size = len(self._ring)
        for back in range(1, min(self._count, size) + 1):
            number = self._count - back
            receipt = self._ring[number & (size - 1)]
            if receipt is None or receipt[5] < since_s - MOST_OUT_OF_ORDER_S:
                return
            if receipt[5] >= since_s:
                yield number, receipt


def _packed(number: int, receipt: _Receipt, *, whole: bool) -> Packed:
    request_id, pool, pick, prompt_tokens, attempt, at_s = receipt
    candidates, scores = pick.candidates, pick.scores
    compared = len(candidates)
    if not whole:
        candidates, scores = (), ()
    elif compared > MAX_SHOWN:
        by_slot = dict(zip(candidates, scores, strict=False))
        candidates = tuple(_shown(pick, by_slot))
        scores = tuple([by_slot[slot] for slot in candidates]) if by_slot else ()
    return (
        number,
        request_id,
        pool,
        attempt,
        prompt_tokens,
        at_s,
        pick.slot,
        pick.reason,
        pick.matched_tokens,
        pick.work_tokens,
        compared,
        candidates,
        scores,
    )


def _shown(pick: Pick, scores: dict[int, float]) -> list[int]:
    """The best candidates, and always the chosen one."""
    shown = sorted(pick.candidates, key=lambda slot: scores.get(slot, 0.0))[:MAX_SHOWN]
    if pick.slot in scores and pick.slot not in shown:
        shown[-1] = pick.slot
    return shown


def decision(pick: Pick, ids: Sequence[str]) -> dict[str, Any]:
    """What a pick says of itself: also the access log's decision fields. ids: of replicas, by slot."""
    scores = dict(zip(pick.candidates, pick.scores, strict=False))
    return {
        "replica": _name(ids, pick.slot),
        "reason": pick.reason,
        "matched_tokens": pick.matched_tokens,
        "work_tokens": round(pick.work_tokens),
        "compared": len(pick.candidates),
        "candidates": [
            {"replica": _name(ids, slot), "score": float(f"{scores[slot]:.6g}") if slot in scores else None}
            for slot in _shown(pick, scores)
        ],
    }


def header(pick: Pick, fleet: Fleet) -> bytes:
    """The opt-in response header: one line, without its end."""
    scores = dict(zip(pick.candidates, pick.scores, strict=False))
    score = f"{scores[pick.slot]:.6g}" if pick.slot in scores else ""
    replica = _printable(_name(fleet.ids, pick.slot))
    return (
        f"X-Steelyard-Pick: replica={replica}; reason={_printable(pick.reason)}; "
        f"score={score}; matched_tokens={pick.matched_tokens}; compared={len(pick.candidates)}"
    ).encode("ascii")


def _name(ids: Sequence[str], slot: int) -> str:
    return ids[slot] if 0 <= slot < len(ids) else ""


def _printable(name: str) -> str:
    """A replica's id as it may stand in a header: an operator may have named it anything."""
    return "".join(each if "!" <= each <= "~" and each != ";" else "_" for each in name)
