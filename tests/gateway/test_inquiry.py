"""What the supervisor asks of workers, and what it remembers of their answers."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from time import monotonic, time
from typing import Any, TypeVar

import msgspec
import pytest
from tests.harness.fleets import fleet_of

from steelyard.cluster.membership import Membership
from steelyard.config.schema import Configuration, PoolOptions, ReplicaOptions
from steelyard.gateway.inquiry import MOST_PICKS, Answer, Inquiry
from steelyard.gateway.receipts import Receipts
from steelyard.gateway.told_picks import MAX_QUESTIONS, Memory, packed_answer, told
from steelyard.gateway.worker_answers import WorkerAnswers
from steelyard.model.errors import BadRequest
from steelyard.model.pick import Pick
from steelyard.routing.router import Router
from steelyard.runtime.questions import ANSWER_BYTES, QuestionBoard, board_bytes

FLEET = fleet_of(0, 1, 2)
PICK = Pick(1, "prefix", (0, 1), (0.5, 0.25), 512, 900.0)
CONFIGURATION = Configuration(
    pools=(PoolOptions(shadow="random", replicas=(ReplicaOptions(url="http://127.0.0.1:1"),)),)
)
T = TypeVar("T")


class Two:
    """Two workers on one board, and what they were asked."""

    def __init__(self) -> None:
        memory = memoryview(bytearray(board_bytes(2)))
        self.board = QuestionBoard(memory, 2)
        self.inquiry = Inquiry(self.board, FLEET.ids)
        self.receipts = [Receipts(), Receipts()]
        router = Router(Membership(), [], Random(1))
        self.answers = [WorkerAnswers(self.board, row, self.receipts[row], router, FLEET) for row in range(2)]
        self.questions: list[bytes] = []
        self.told: list[int] = []
        self.at_s = 0.0
        self.silent: set[int] = set()

    def note(self, worker: int, request_id: bytes, pick: Pick = PICK, attempt: int = 1) -> None:
        self.at_s = max(monotonic(), self.at_s + 1e-4)  # no two at once, so that their order is known
        self.receipts[worker].note(request_id, "llm", pick, 1_000, attempt, self.at_s)

    async def _sweep(self) -> None:
        while True:
            question = self.board.open_question(0)
            if question is not None:
                self.questions.append(question[1])
            for row in {0, 1} - self.silent:
                self.answers[row].answer_open_question()
                if question is not None and not question[1].startswith(b"shadow"):
                    self.told.append(len(told(self.board.answer_of(row, question[0]) or b"")))
            await asyncio.sleep(0.005)

    def run(self, ask: Callable[[], Awaitable[T]]) -> T:
        async def use() -> T:
            sweeping = asyncio.create_task(self._sweep())
            try:
                return await ask()
            finally:
                sweeping.cancel()

        return asyncio.run(use())

    def listed(self, text: str = "") -> Answer:
        return self.run(lambda: self.inquiry.listed(text, {0: 71, 1: 72}))

    def read(self, path: str) -> Any:
        return self.run(lambda: self.inquiry.read(path, {0: 71, 1: 72}, CONFIGURATION))


def ids(picks: Answer) -> list[str]:
    return [pick["request_id"] for pick in picks]


def test_picks_are_told_once_and_listed_newest_first_of_all_workers() -> None:
    two = Two()
    for number in range(6):
        two.note(number % 2, b"%d" % number)
    assert ids(two.listed()) == ["5", "4", "3", "2", "1", "0"]
    assert two.told == [3, 3]
    asyncio.run(asyncio.sleep(0.06))  # until what was told is older than what is asked for again
    two.listed()
    two.told.clear()
    two.note(0, b"6")
    again = two.listed()
    assert ids(again) == ["6", "5", "4", "3", "2", "1", "0"]
    assert two.told == [1, 0]
    assert again[0]["replica"] == "replica-1"
    assert (again[0]["compared"], again[0]["candidates"]) == (2, [])
    assert abs(again[0]["at"] - time()) < 30


def test_a_worker_that_was_silent_tells_later_what_it_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.gateway.inquiry.WAIT_S", 0.05)
    two = Two()
    two.note(0, b"a")
    two.note(1, b"b")
    two.silent = {1}
    assert ids(two.listed()) == ["a"]
    asyncio.run(asyncio.sleep(0.06))
    two.silent = set()
    assert ids(two.listed()) == ["b", "a"]


def test_a_search_remembers_its_own_finds_and_an_id_all_its_tries() -> None:
    two = Two()
    two.note(0, b"one")
    two.note(1, b"two")
    assert ids(two.listed("one")) == ["one"]
    tries = two.read("/why/one")
    assert [(each["attempt"], each["candidates"][0]["replica"]) for each in tries] == [(1, "replica-1")]
    two.note(1, b"one", Pick(2, "estimate"), attempt=2)
    assert [each["attempt"] for each in two.read("/why/one")] == [1, 2]
    assert ids(two.listed("one")) == ["one", "one"]
    assert [pick["compared"] for pick in two.read("/picks/one")] == [0, 2]
    assert len(two.read("/picks")[-1]["candidates"]) == 2
    with pytest.raises(BadRequest, match="no receipt of request 'three'"):
        two.read("/why/three")


def test_of_many_picks_the_newest_are_listed_and_nothing_is_remembered_without_end() -> None:
    two = Two()
    for number in range(200):
        two.note(number % 2, b"%d" % number)
    assert ids(two.listed()) == [str(number) for number in range(199, 199 - MOST_PICKS, -1)]
    memory = Memory()
    first = memory.of("0", 1)
    for number in range(1, MAX_QUESTIONS + 1):
        memory.of(str(number), 1)
    assert memory.of("0", 1) is not first
    wide = Pick(1, "x" * 1_000, (), ())
    for number in range(100):
        two.note(0, b"w%d" % number, wide)
    answer = packed_answer(two.receipts[0].newest(100, 0.0, whole=True), ANSWER_BYTES)
    kept = told(answer)
    assert len(answer) <= ANSWER_BYTES
    assert (len(kept), kept[0].request_id) == (50, b"w99")


def test_a_question_of_no_sense_has_an_empty_answer_and_shadows_are_added_up() -> None:
    two = Two()
    for question in (b"", b"picks", b"picks x 5", b"picks 0 x", b"why", b"what 0 5", b"\xff\xff"):
        assert told(two.answers[0].answer_to(question)) == []
    assert msgspec.msgpack.decode(two.answers[0].answer_to(b"shadow")) == []
    (pool,) = two.read("/shadow")["pools"]
    assert (pool["shadow"], pool["decisions"], pool["pairs"]) == ("random", 0, [])
    with pytest.raises(BadRequest, match="too long to be asked"):
        two.listed("x" * 2_000)
