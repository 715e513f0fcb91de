"""Receipts as workers tell them, and what the supervisor remembers of those that it was told.

A worker hands over numbers and slots: names are found, and JSON is made, in the supervisor, where nobody's
request waits. What was told once is remembered here for as long as somebody looks, so that a page that
is open all day asks for nothing but what is newer than its last question. Cost for the worker: 1 µs a
receipt that it has not told before, instead of 20.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from time import monotonic, time
from typing import Any, Final

import msgspec

from steelyard.gateway.receipts import Packed, decision
from steelyard.model.pick import Pick

MAX_QUESTIONS: Final = 32  # remembered, those asked last: as many as there may be pages open by far
OVERLAP_S: Final = 0.05  # asked for again, since a receipt's time is a little older than the receipt

Key = tuple[int, int]  # process id of the worker, number of the receipt in it


def packed_answer(receipts: Iterable[Packed], most_bytes: int) -> bytes:
    """Receipts, newest first, as an answer of so many bytes at most: the oldest are left out."""
    left = list(receipts)
    while len(answer := msgspec.msgpack.encode(left)) > most_bytes:
        del left[len(left) // 2 :]
    return answer


class Told(msgspec.Struct, array_like=True, gc=False):
    """One receipt, its fields in the order of `receipts.Packed`."""

    number: int
    request_id: bytes
    pool: str
    attempt: int
    prompt_tokens: int
    at_s: float  # monotonic, which is one clock for all processes of a machine
    slot: int
    reason: str
    matched_tokens: int
    work_tokens: float
    compared: int
    candidates: tuple[int, ...]
    scores: tuple[float, ...]


_decoder = msgspec.msgpack.Decoder(list[Told])


def told(answer: bytes) -> list[Told]:
    """What a worker answered."""
    return _decoder.decode(answer)


def describe(receipt: Told, names: Sequence[str], at_s: float) -> dict[str, Any]:
    """A receipt with names in place of slots. at_s: of the pick, seconds since 1970."""
    pick = Pick(
        receipt.slot,
        receipt.reason,
        receipt.candidates,
        receipt.scores,
        receipt.matched_tokens,
        receipt.work_tokens,
    )
    return {
        "request_id": receipt.request_id.decode("latin-1"),
        "at": round(at_s, 6),
        "pool": receipt.pool,
        "attempt": receipt.attempt,
        "prompt_tokens": receipt.prompt_tokens,
        **decision(pick, names),
        "compared": receipt.compared,
    }


class Remembered:
    """What was told to one question, newest `most` only."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._told: dict[Key, dict[str, Any]] = {}
        self.since_s = 0.0

    def take(self, answers: dict[int, list[Told]], names: Sequence[str]) -> list[dict[str, Any]]:
        """Add what workers told, by process id; all that is remembered, newest first."""
        clock_s = time() - monotonic()
        for pid, receipts in answers.items():
            for each in receipts:
                if (pid, each.number) not in self._told:
                    self._told[pid, each.number] = describe(each, names, clock_s + each.at_s)
        newest = sorted(self._told.items(), key=lambda item: item[1]["at"], reverse=True)[: self._most]
        self._told = dict(newest)
        return list(self._told.values())


class Memory:
    """All questions that were asked lately."""

    def __init__(self) -> None:
        self._questions: OrderedDict[str, Remembered] = OrderedDict()

    def of(self, question: str, most: int) -> Remembered:
        """What is remembered of one; nothing when it is new."""
        found = self._questions.pop(question, None) or Remembered(most)
        self._questions[question] = found
        if len(self._questions) > MAX_QUESTIONS:
            self._questions.popitem(last=False)
        return found
