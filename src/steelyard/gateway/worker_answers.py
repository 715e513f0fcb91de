"""What a worker answers when the supervisor asks: picks that it made, and what its shadows would have done.

A question is a word and arguments: `why SINCE REQUEST_ID`, `picks SINCE COUNT [TEXT]`, `whole-picks` with the
same (and all that was compared), `shadow`. SINCE is a monotonic time, in seconds: older picks are left out.
An answer is MessagePack; one that is too long loses its last entries, which are the oldest picks.
"""

from time import monotonic
from typing import Any

import msgspec

from steelyard.gateway.receipts import Packed, Receipts
from steelyard.gateway.told_picks import packed_answer
from steelyard.model.fleet import Fleet
from steelyard.routing.router import Router
from steelyard.routing.shadow import Shadowed
from steelyard.runtime.questions import ANSWER_BYTES, QuestionBoard

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
        if question is not None:
            self._board.answer(self._worker, question[0], self.answer_to(question[1]))

    def answer_to(self, question: bytes) -> bytes:
        """The answer to one question; an empty list when it is none that we know."""
        word, _, arguments = question.partition(b" ")
        if word == b"shadow":
            policies = self._router.policies().items()
            return msgspec.msgpack.encode(
                [_shadow(name, policy) for name, policy in policies if isinstance(policy, Shadowed)]
            )
        return packed_answer(self._picks(word, arguments), ANSWER_BYTES)

    def _picks(self, word: bytes, arguments: bytes) -> list[Packed]:
        try:
            since, _, rest = arguments.partition(b" ")
            since_s = float(since)
            if word == b"why":
                return self._receipts.of_request(rest, since_s)
            if word not in (b"picks", b"whole-picks"):
                return []
            number, _, text = rest.partition(b" ")
            count, whole = int(number), word == b"whole-picks"
        except ValueError:
            return []
        if not text:
            return self._receipts.newest(count, since_s, whole=whole)
        wanted = text.decode("utf-8", "replace")
        return self._receipts.matching(wanted, count, self._fleet, since_s, whole=whole)


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
