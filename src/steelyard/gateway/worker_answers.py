"""What a worker answers when the supervisor asks: picks that it made, and what its shadows would have done.

A question is a word and an argument: `why REQUEST_ID`, `picks COUNT`, `picks COUNT TEXT`, `shadow`. An answer
is JSON; one that is too long loses its last entries, which are the oldest picks.
"""

from time import monotonic
from typing import Any

import msgspec

from steelyard.gateway.receipts import Receipts
from steelyard.model.fleet import Fleet
from steelyard.routing.router import Router
from steelyard.routing.shadow import Shadowed
from steelyard.runtime.questions import ANSWER_BYTES, QuestionBoard

MAX_PICKS = 50
LATE_S = 0.3  # the sweeper comes by every 0.2 s: a loop that stood still for 0.1 s was stalled


class WorkerAnswers:
    """One worker's side of the board."""

    __slots__ = ("_board", "_came_s", "_fleet", "_receipts", "_router", "_worker")

    def __init__(
        self, board: QuestionBoard, worker: int, receipts: Receipts, router: Router, fleet: Fleet
    ) -> None:
        self._board = board
        self._worker = worker
        self._receipts = receipts
        self._router = router
        self._fleet = fleet
        self._came_s = monotonic()

    def answer_open_question(self) -> None:
        """Show that this worker's loop turns, and answer if there is something to answer; called by the
        sweeper.
        """
        before_s, self._came_s = self._came_s, monotonic()
        self._board.beat(self._worker, late=self._came_s - before_s > LATE_S)
        question = self._board.open_question(self._worker)
        if question is None:
            return
        entries = self.answer_to(question[1])
        while len(answer := msgspec.json.encode(entries)) > ANSWER_BYTES:
            entries = entries[: len(entries) // 2]
        self._board.answer(self._worker, question[0], answer)

    def answer_to(self, question: bytes) -> list[dict[str, Any]]:
        """The answer to one question; [] when it is none that we know."""
        word, _, argument = question.partition(b" ")
        now_s = monotonic()
        if word == b"why":
            return self._receipts.find(argument, self._fleet, now_s)
        count, _, text = argument.partition(b" ")
        if word == b"picks" and count.isdigit():
            many = min(int(count), MAX_PICKS)
            if text:
                return self._receipts.matching(text.decode("utf-8", "replace"), many, self._fleet, now_s)
            return self._receipts.latest(many, self._fleet, now_s)
        if word == b"shadow":
            policies = self._router.policies().items()
            return [_shadow(name, policy) for name, policy in policies if isinstance(policy, Shadowed)]
        return []


def _shadow(pool: str, policy: Shadowed) -> dict[str, Any]:
    count = policy.count
    return {
        "pool": pool,
        "decisions": count.decisions,
        "different": count.different,
        "failures": count.failures,
        "scored": count.scored,
        "worse_score": count.worse_score,
        "pairs": [
            {"live": live, "shadow": shadow, "count": many} for (live, shadow), many in count.pairs.items()
        ],
    }
