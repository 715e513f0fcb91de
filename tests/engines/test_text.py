"""Answers that can be checked token by token."""

import pytest

from steelyard.engines.text import MAX_UNASKED_TOKENS, Text, tokens


def test_a_token_depends_on_the_text_before_it_alone() -> None:
    # Fixed words: another process, and another engine, must say the same.
    assert tokens(b"hello", 3) == ["syv ", "mif ", "lez "]


@pytest.mark.parametrize("cut", range(0, 50, 7))
def test_a_continuation_is_what_an_unbroken_answer_would_have_said(cut: int) -> None:
    whole = tokens(b"hello", 50)
    so_far = "".join(whole[:cut]).encode()
    assert tokens(b"hello", 50 - cut, so_far) == whole[cut:]
    assert tokens(b"hello" + so_far, 50 - cut) == whole[cut:]


def test_a_continuation_from_the_wrong_place_is_another_text() -> None:
    whole = tokens(b"hello", 50)
    assert tokens(b"hello", 40, "".join(whole[:9]).encode()) != whole[10:]
    assert tokens(b"hello", 40, "".join(whole[:10]).encode()[:-1]) != whole[10:]


def test_an_answer_without_a_limit_ends_where_its_text_says_also_when_continued() -> None:
    ends = [Text(b"prompt %d" % number).tokens_to_end() for number in range(300)]
    assert all(1 <= end <= MAX_UNASKED_TOKENS for end in ends)
    # Geometric with mean 128: the mean of 300 has a deviation of 7.4, so 90..166 cannot flake.
    assert 90 < sum(ends) / len(ends) < 166
    whole = tokens(b"prompt 0", ends[0])
    assert Text(b"prompt 0", "".join(whole[:-1]).encode()).tokens_to_end() == 1


def test_every_token_is_one_word_and_a_blank_of_four_bytes() -> None:
    pieces = tokens(b"hello", 500)
    assert "".join(pieces).split() == [piece.strip() for piece in pieces]
    assert {len(piece) for piece in pieces} == {4}


def test_two_prompts_have_two_answers() -> None:
    first, second = (tokens(prompt, 50) for prompt in (b"a", b"b"))
    # Two words agree once in about 1,300; 25 of 50 would be no chance.
    assert sum(one == other for one, other in zip(first, second, strict=True)) < 25
