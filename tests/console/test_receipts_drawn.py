"""The lengths of a receipt's bars."""

from tests.harness.console_planes import receipt

from steelyard.console.pages.requests import drawn


def test_the_best_candidate_has_the_shortest_bar() -> None:
    one, two = drawn(receipt())["candidates"]
    assert (one["share"], two["share"]) == (0.5, 1.0)
    assert (one["chosen"], two["chosen"]) == (True, False)
    assert (one["above_best"], two["above_best"]) == (0.0, 0.5)


def test_prompt_and_work_share_one_scale() -> None:
    found = drawn(receipt(prompt_tokens=100, matched_tokens=40, work_tokens=200))
    assert (found["cached_share"], found["fresh_share"], found["work_share"]) == (0.2, 0.3, 1.0)


def test_odd_scores_are_drawn_too() -> None:
    candidates = [
        {"replica": "a", "score": -2.0},
        {"replica": "b", "score": float("inf")},
        {"replica": "c", "score": None},
        {"replica": "d", "score": 0.0},
    ]
    found = drawn(receipt(candidates=candidates, compared=9))
    assert [each["share"] for each in found["candidates"]] == [0.0, 1.0, 0.0, 1.0]
    assert found["left"] == 5
    assert drawn(receipt(candidates=[], compared=0, prompt_tokens=0, matched_tokens=0, work_tokens=0))
