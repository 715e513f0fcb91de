"""What is asked for, as observed: counted once a task, fading, and said to have changed when it has."""

import random

import pytest

from steelyard.model.placement_policy import Claim, demand_of
from steelyard.model.resources import Resources
from steelyard.policies.request_mix import WINDOW, RequestMix


def claim(task_id: str, cores: float, gpus: float = 1, *models: str) -> Claim:
    return Claim(task_id=task_id, demand=Resources(cpu_cores=cores, gpus=gpus), gpu_models=models)


def observe(mix: RequestMix, *claims: Claim) -> list[bool]:
    return [mix.observe(each, demand_of(each.demand)) for each in claims]


def test_the_typical_shapes_make_up_their_fraction_and_sum_to_one() -> None:
    mix = RequestMix.of(
        [claim(f"a{at}", 1) for at in range(90)] + [claim(f"b{at}", at + 2) for at in range(10)]
    )
    typical = mix.typical(0.95)
    assert typical[0][0].cpu_milli == 1000
    assert len(typical) == 6
    assert sum(probability for _, probability in typical) == pytest.approx(1)


def test_a_task_counts_once_however_often_it_is_tried() -> None:
    mix = RequestMix()
    observe(mix, *[claim("same", 1)] * 50)
    assert sum(mix.weights.values()) == 1


def test_a_fixed_mix_learns_nothing() -> None:
    mix = RequestMix.of([claim("a", 1)])
    assert not any(observe(mix, *(claim(f"b{at}", 2) for at in range(100))))
    assert len(mix.weights) == 1


def test_tables_are_due_when_the_mix_has_changed_and_not_else() -> None:
    mix, rng = RequestMix(), random.Random(1)
    steady = [claim(f"a{at}", rng.choice((1, 2, 4))) for at in range(4 * WINDOW)]
    due = [at for at, each in enumerate(observe(mix, *steady)) if each]
    assert due[0] == 7
    assert all(at < 256 for at in due)
    assert any(observe(mix, *(claim(f"new{at}", 8) for at in range(2 * WINDOW))))
    old = sum(weight for shape, weight in mix.weights.items() if shape.cpu_milli != 8000)
    assert old < sum(mix.weights.values()) / 2


def test_shapes_that_run_only_on_some_models_are_others() -> None:
    mix = RequestMix.of([claim("a", 1, 1, "x"), claim("b", 1, 1), claim("c", 1, 0.5)])
    assert len(mix.weights) == 3
    assert sorted(shape.gpus for shape in mix.weights) == [0.5, 1, 1]
    assert [shape.runs_on("y") for shape in sorted(mix.weights)] == [True, True, False]
