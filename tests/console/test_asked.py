"""Planes that answer late, seldom or not at all."""

import asyncio
import threading
from typing import Any

import pytest

from steelyard.console import asked_jobs
from steelyard.console.asked_jobs import AskedJobs, NoJobs
from steelyard.console.asked_workers import KEPT_ANSWERS, AskedWorkers, NotYet
from steelyard.model.errors import BadRequest, ConfigError, OutcomeUnknown


class Plane:
    """Counts what it is asked; waits where a test says so."""

    def __init__(self) -> None:
        self.ops: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.error: Exception | None = None

    @property
    def asked(self) -> int:
        return len(self.ops)

    def ask(self, op: str, **values: object) -> dict[str, Any]:
        self.ops.append(op)
        self.may_answer.wait(20)
        if self.error is not None:
            raise self.error
        return {"op": op}


def test_viewers_of_one_moment_share_an_answer_and_an_order_ends_it() -> None:
    plane = Plane()

    async def use() -> None:
        jobs = AskedJobs(plane)
        for _ in range(5):
            assert await jobs.ask("top") == {"op": "top"}
        assert plane.asked == 1
        await jobs.order("pause", job="1")
        jobs.forget()
        await jobs.ask("top")
        assert plane.asked == 3
        jobs.close()

    asyncio.run(use())


def test_viewers_who_ask_at_once_share_the_open_question_and_its_error() -> None:
    plane = Plane()

    async def use() -> None:
        jobs = AskedJobs(plane)
        assert await asyncio.gather(*(jobs.ask("top") for _ in range(8))) == [{"op": "top"}] * 8
        assert plane.asked == 1
        plane.error = BadRequest("there is no job '9'")
        said = await asyncio.gather(*(jobs.ask("job", job="9") for _ in range(8)), return_exceptions=True)
        assert {type(each) for each in said} == {BadRequest}
        assert (plane.asked, jobs._asking) == (2, {})
        jobs.close()

    asyncio.run(use())


def test_who_leaves_does_not_end_the_question_of_others_and_an_order_makes_it_old() -> None:
    plane = Plane()
    plane.may_answer.clear()

    async def use() -> None:
        jobs = AskedJobs(plane)
        first, second = (asyncio.create_task(jobs.ask("top")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        jobs.forget()
        plane.may_answer.set()
        assert await second == {"op": "top"}
        await jobs.ask("top")
        assert plane.asked == 2
        jobs.close()

    asyncio.run(use())


def test_a_service_that_hangs_costs_a_page_a_moment_and_the_next_ones_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asked_jobs, "PATIENCE_S", 0.05)
    plane = Plane()
    plane.may_answer.clear()

    async def use() -> None:
        jobs = AskedJobs(plane)
        for _ in range(3):
            with pytest.raises(NoJobs, match="has not answered"):
                await jobs.ask("top")
        plane.may_answer.set()
        jobs.close()
        assert plane.asked == 1

    asyncio.run(use())


def test_an_order_without_an_answer_is_unknown_and_one_that_did_not_begin_never_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asked_jobs, "ORDER_PATIENCE_S", 0.05)
    plane = Plane()
    plane.may_answer.clear()

    async def use() -> None:
        jobs = AskedJobs(plane)
        with pytest.raises(OutcomeUnknown, match="look before you give it again"):
            await jobs.order("cancel", job="1")
        with pytest.raises(NoJobs, match="has not answered"):
            await jobs.order("cancel", job="2")  # behind the first
        plane.may_answer.set()
        jobs._absent = None
        await jobs.tell("top")
        assert plane.ops == ["cancel", "top"]
        jobs.close()

    asyncio.run(use())


def test_an_order_is_given_although_a_question_was_not_answered() -> None:
    plane = Plane()

    async def use() -> None:
        jobs = AskedJobs(plane)
        plane.error = ConfigError("nobody answers")
        with pytest.raises(NoJobs, match="nobody answers"):
            await jobs.ask("top")
        plane.error = None
        assert await jobs.order("pause", job="1") == {"op": "pause"}
        jobs.close()

    asyncio.run(use())


def test_an_absent_service_is_left_alone_for_a_while_and_a_refusal_is_not_absence() -> None:
    plane = Plane()

    async def use() -> None:
        jobs = AskedJobs(plane)
        plane.error = BadRequest("there is no job '9'", http_status=404)
        for _ in range(2):
            with pytest.raises(BadRequest, match="no job '9'"):
                await jobs.ask("job", job="9")
        plane.error = ConfigError("nobody answers")
        for _ in range(5):
            with pytest.raises(NoJobs, match="nobody answers"):
                await jobs.ask("top")
        assert plane.asked == 3
        jobs.close()

    asyncio.run(use())


def test_workers_are_not_waited_for_longer_than_a_page_has_time() -> None:
    async def use() -> None:
        workers, answer = AskedWorkers(), asyncio.Event()

        async def question() -> str:
            await answer.wait()
            return "picks"

        for _ in range(3):  # the same open question
            with pytest.raises(NotYet):
                await workers.ask("picks", question, 0.01)
        answer.set()
        assert await workers.ask("picks", question, 5.0) == "picks"

    asyncio.run(use())


def test_an_error_is_an_answer_and_answers_have_a_bound() -> None:
    async def use() -> None:
        workers = AskedWorkers()

        async def refused() -> str:
            raise BadRequest("no receipt")

        with pytest.raises(BadRequest, match="no receipt"):
            await workers.ask("why x", refused, 5.0)
        for number in range(2 * KEPT_ANSWERS):
            with pytest.raises(BadRequest):
                await workers.ask(f"why {number}", refused, 5.0)
        assert len(workers._said) == KEPT_ANSWERS
        assert not workers._asking

    asyncio.run(use())
