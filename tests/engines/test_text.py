"""Answers that can be checked token by token."""

from steelyard.engines.text import prompt_seed, token


def test_a_token_depends_on_the_prompt_and_its_place_alone() -> None:
    # Fixed words: another process, and another engine, must say the same.
    assert [token(prompt_seed(b"hello"), index) for index in range(3)] == ["zaza ", "foto ", "hare "]


def test_every_token_is_one_word_and_a_blank() -> None:
    pieces = [token(prompt_seed(b"hello"), index) for index in range(500)]
    assert "".join(pieces).split() == [piece.strip() for piece in pieces]
    assert all(piece.endswith(" ") for piece in pieces)


def test_two_prompts_have_two_answers() -> None:
    first, second = ([token(prompt_seed(prompt), index) for index in range(50)] for prompt in (b"a", b"b"))
    # Of 256 words, two answers of 50 agree in 0.2 places on average; 25 would be no chance.
    assert sum(one == other for one, other in zip(first, second, strict=True)) < 25
