"""Questions to workers through shared memory."""

import pytest

from steelyard.runtime.questions import ANSWER_BYTES, QUESTION_BYTES, QuestionBoard, board_bytes


def test_each_worker_sees_a_question_once_and_answers_for_itself() -> None:
    memory = memoryview(bytearray(board_bytes(2)))
    board, seen_by_workers = QuestionBoard(memory, 2), QuestionBoard(memory, 2)
    assert seen_by_workers.open_question(0) is None
    number = board.ask(b"why abc")
    assert board.answer_of(0, number) is None
    for worker in (0, 1):
        assert seen_by_workers.open_question(worker) == (number, b"why abc")
        seen_by_workers.answer(worker, number, b"answer of %d" % worker)
        assert seen_by_workers.open_question(worker) is None
    assert [board.answer_of(worker, number) for worker in (0, 1)] == [b"answer of 0", b"answer of 1"]


def test_a_late_answer_to_an_old_question_is_not_taken_for_one_to_the_new() -> None:
    board = QuestionBoard(memoryview(bytearray(board_bytes(1))), 1)
    old = board.ask(b"first question, a long one")
    new = board.ask(b"second")
    board.answer(0, old, b"late")
    assert board.answer_of(0, new) is None
    assert board.open_question(0) == (new, b"second")


def test_what_is_too_long_is_refused() -> None:
    board = QuestionBoard(memoryview(bytearray(board_bytes(1))), 1)
    with pytest.raises(ValueError, match="a question takes"):
        board.ask(b"x" * (QUESTION_BYTES + 1))
    with pytest.raises(ValueError, match="an answer takes"):
        board.answer(0, 1, b"x" * (ANSWER_BYTES + 1))
    with pytest.raises(ValueError, match="a board of 2 rows needs"):
        QuestionBoard(memoryview(bytearray(board_bytes(1))), 2)
