"""The supervisor's side of the question board: ask all workers, wait a moment, put their answers together.

Workers are asked for picks that they have not told yet, and only while somebody looks.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Final

import msgspec

from steelyard.config.schema import Configuration
from steelyard.gateway.told_picks import OVERLAP_S, Memory, told
from steelyard.model.errors import BadRequest
from steelyard.runtime.questions import QUESTION_BYTES, QuestionBoard

WAIT_S = 2.0  # workers look five times a second
LOOK_S = 0.02
MOST_PICKS: Final = 50

Answer = list[dict[str, Any]]


class Inquiry:
    """Asks one question at a time. names: of the replicas, by slot."""

    def __init__(self, board: QuestionBoard, names: Sequence[str]) -> None:
        self._board = board
        self._names = names
        self._memory = Memory()
        self._one_at_a_time = asyncio.Lock()
        self.asked = 0

    async def ask(self, question: str, rows: Iterable[int]) -> dict[int, bytes]:
        """What the workers in these rows answer, by row; one that does not is left out. Raises BadRequest."""
        data = question.encode("utf-8", "replace")
        if len(data) > QUESTION_BYTES:
            raise BadRequest(f"{question[:50]!r}... is too long to be asked", http_status=414)
        answers: dict[int, bytes] = {}
        async with self._one_at_a_time:
            self.asked += 1
            number = self._board.ask(data)
            waiting = list(rows)
            deadline_s = asyncio.get_running_loop().time() + WAIT_S
            while waiting and asyncio.get_running_loop().time() < deadline_s:
                await asyncio.sleep(LOOK_S)
                for row in list(waiting):
                    answer = self._board.answer_of(row, number)
                    if answer is not None:
                        waiting.remove(row)
                        answers[row] = answer
        return answers

    async def read(self, path: str, workers: Mapping[int, int], configuration: Configuration) -> object:
        """An admin page made of answers: /why/REQUEST_ID, /picks, /picks/TEXT, /shadow. Raises BadRequest.

        workers: rows, and who fills each (process ids).
        """
        if path.startswith("/why/"):
            request_id = path.removeprefix("/why/")
            picks = await self.picks("why", request_id, workers)
            if not picks:
                raise BadRequest(
                    f"no receipt of request {request_id[:200]!r}: a worker keeps its last 4,096 picks, and "
                    "forgets them when it ends; the access log may still know",
                    http_status=404,
                )
            return picks[::-1]
        if path == "/picks" or path.startswith("/picks/"):
            text = path.removeprefix("/picks").removeprefix("/")
            return await self.picks(f"whole-picks {MOST_PICKS}", text, workers)
        answers = await self.ask("shadow", workers)
        counts = [count for each in answers.values() for count in msgspec.msgpack.decode(each, type=Answer)]
        return shadow_report(counts, configuration)

    async def listed(self, text: str, workers: Mapping[int, int]) -> Answer:
        """The newest picks that a text occurs in, newest first, without what was compared.

        Raises BadRequest.
        """
        return await self.picks(f"picks {MOST_PICKS}", text, workers)

    async def picks(self, kind: str, argument: str, workers: Mapping[int, int]) -> Answer:
        """Picks of one kind, newest first: those that are new, and those that were told before."""
        remembered = self._memory.of(f"{kind} {argument}", MOST_PICKS)
        word, _, count = kind.partition(" ")
        asked_s = monotonic()
        parts = (word, f"{remembered.since_s:.3f}", count, argument)
        answers = await self.ask(" ".join(filter(None, parts)), workers)
        if len(answers) == len(workers):  # else one has not told yet what is older
            remembered.since_s = asked_s - OVERLAP_S
        return remembered.take({workers[row]: told(each) for row, each in answers.items()}, self._names)


def shadow_report(answers: Answer, configuration: Configuration) -> dict[str, Any]:
    """Workers' counts of one pool added up, with what they mean."""
    pools = []
    for options in configuration.pools:
        counts = [answer for answer in answers if answer["pool"] == options.name]
        if not options.shadow:
            continue
        total = {
            key: sum(count[key] for count in counts)
            for key in ("decisions", "different", "failures", "scored", "worse_score")
        }
        pairs: dict[tuple[str, str], int] = {}
        for pair in (pair for count in counts for pair in count["pairs"]):
            key = (pair["live"], pair["shadow"])
            pairs[key] = pairs.get(key, 0) + pair["count"]
        pools.append(
            {
                "pool": options.name,
                "live": options.policy,
                "shadow": options.shadow,
                **total,
                "different_share": total["different"] / total["decisions"] if total["decisions"] else 0.0,
                "pairs": [
                    {"live": live, "shadow": shadow, "count": count}
                    for (live, shadow), count in sorted(pairs.items(), key=lambda item: -item[1])
                ],
                "replicas": len(options.replicas),
            }
        )
    return {"pools": pools, "access_log": configuration.access_log}
