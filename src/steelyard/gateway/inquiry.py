"""The supervisor's side of the question board: ask all workers, wait a moment, put their answers together."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from steelyard.config.schema import Configuration
from steelyard.model.errors import BadRequest
from steelyard.runtime.questions import QUESTION_BYTES, QuestionBoard

WAIT_S = 2.0  # workers look five times a second
LOOK_S = 0.02

Answer = list[dict[str, Any]]


class Inquiry:
    """Asks one question at a time."""

    def __init__(self, board: QuestionBoard) -> None:
        self._board = board
        self._one_at_a_time = asyncio.Lock()

    async def ask(self, question: str, rows: Iterable[int]) -> Answer:
        """What the workers in these rows answer, one after the other; one that does not is left out."""
        data = question.encode("utf-8", "replace")
        if len(data) > QUESTION_BYTES:
            raise BadRequest(f"{question[:50]!r}... is too long to be asked", http_status=414)
        async with self._one_at_a_time:
            number = self._board.ask(data)
            waiting, answers = list(rows), []
            deadline_s = asyncio.get_running_loop().time() + WAIT_S
            while waiting and asyncio.get_running_loop().time() < deadline_s:
                await asyncio.sleep(LOOK_S)
                for row in list(waiting):
                    answer = self._board.answer_of(row, number)
                    if answer is not None:
                        waiting.remove(row)
                        answers += msgspec.json.decode(answer, type=Answer)
        return answers

    async def read(self, path: str, rows: Iterable[int], configuration: Configuration) -> object:
        """An admin page made of answers: /why/REQUEST_ID, /picks, /picks/TEXT, /shadow. Raises BadRequest."""
        if path.startswith("/why/"):
            request_id = path.removeprefix("/why/")
            picks = await self.ask(f"why {request_id}", rows)
            if not picks:
                raise BadRequest(
                    f"no receipt of request {request_id[:200]!r}: a worker keeps its last 4,096 picks, and "
                    "forgets them when it ends; the access log may still know",
                    http_status=404,
                )
            return sorted(picks, key=lambda pick: pick["at"])
        if path == "/picks" or path.startswith("/picks/"):
            question = f"picks 50 {path.removeprefix('/picks').removeprefix('/')}".strip()
            return sorted(await self.ask(question, rows), key=lambda pick: pick["at"], reverse=True)[:50]
        return shadow_report(await self.ask("shadow", rows), configuration)


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
