"""The tables behind FGD and least stranding, beside the sums that they stand for."""

import random

import pytest

from steelyard.model.placement_policy import WHOLE_GPU, Claim
from steelyard.model.resources import Resources
from steelyard.policies.fragmentation import Fragmentation
from steelyard.policies.outlook import Outlooks
from steelyard.policies.request_mix import RequestMix, Shape
from steelyard.policies.scarcity import Hardware, Scarcity
from steelyard.policies.stranding import ModelStranding


def mix() -> RequestMix:
    rng = random.Random(4)
    return RequestMix.of(
        Claim(
            task_id=f"t{at}",
            demand=Resources(
                cpu_cores=rng.choice((1, 3.2, 12)), gpus=rng.choice((0, 0.2, 0.5, 0.81, 1, 1, 2, 4))
            ),
            gpu_models=rng.choice(((), (), ("A",), ("B",))),
        )
        for at in range(300)
    )


def fragments(shapes: list[tuple[Shape, float]], model: str, cpu: int, devices: list[int]) -> float:
    """The definition, shape by shape and device by device."""
    total = 0.0
    for shape, probability in shapes:
        fits = sum(free >= shape.share for free in devices) >= shape.devices > 0
        if fits and shape.cpu_milli <= cpu and shape.runs_on(model):
            total += probability * sum(free for free in devices if free < shape.share)
        else:
            total += probability * sum(devices)
    return total


def test_fragmentation_is_the_sum_over_shapes_and_devices() -> None:
    shapes = mix().typical(0.95)
    tables, rng = Fragmentation(shapes), random.Random(1)
    for _ in range(400):
        devices = [rng.choice((0, 0, 190, 500, 730, 1000)) for _ in range(rng.randrange(1, 9))]
        model, cpu = rng.choice("AB"), rng.randrange(0, 16_000, 100)
        assert tables.amount(model, cpu, devices) == pytest.approx(fragments(shapes, model, cpu, devices))


def test_a_share_is_taken_from_the_device_that_leaves_the_least_useless() -> None:
    kind = Hardware("A", 8, 96_000)
    outlook, rng = Outlooks(mix(), {kind: 3, Hardware("B", 2, 64_000): 4}).of(kind), random.Random(2)
    for _ in range(200):
        devices = [rng.choice((0, 190, 500, 730, 1000)) for _ in range(8)]
        share, cpu = rng.choice((50, 200, 500, 700)), rng.randrange(0, 96_000, 500)
        choices = {
            room: outlook.useless(cpu, [*devices[:at], room - share, *devices[at + 1 :]])
            for at, room in enumerate(devices)
            if room >= share
        }
        if not choices:
            with pytest.raises(ValueError, match="no device"):
                outlook.useless_with_share(cpu, devices, share)
            continue
        useless, room = outlook.useless_with_share(cpu, devices, share)
        assert useless == pytest.approx(min(choices.values()))
        assert choices[room] == pytest.approx(useless)


def test_stranding_grows_as_cpu_runs_out_and_never_exceeds_what_is_idle() -> None:
    tables = ModelStranding(mix().weights, "A", 96_000, 8)
    assert tables.device[0] == 0
    assert all(0 < left <= 10 * at for at, left in enumerate(tables.device) if at)
    assert all(left <= WHOLE_GPU * whole for whole, left in enumerate(tables.pool))
    for volume in range(1, 41):
        by_cpu = [row[volume] for row in tables.starved]
        assert by_cpu[0] == max(by_cpu)
        assert by_cpu[-1] >= -1e-6


def test_prices_are_the_share_that_those_who_insist_would_fill() -> None:
    weights = {Shape(1000, 1, 1000, ("A",)): 30.0, Shape(1000, 1, 1000, ()): 70.0}
    scarcity = Scarcity(weights, {Hardware("A", 4, 96_000): 10, Hardware("B", 8, 96_000): 10})
    assert scarcity.price("A") == pytest.approx(0.3 * 120 / 40)
    assert scarcity.price("B") == 0
    assert scarcity.price("unknown") == 0


def test_room_is_lost_by_cpu_as_well_as_by_gpus() -> None:
    kind = Hardware("A", 8, 96_000)
    room = Scarcity({Shape(64_000, 8, 1000, ()): 1.0, Shape(1000, 1, 1000, ()): 8.0}, {kind: 10}).room(kind)
    assert room.lost(96_000, 8) == 0
    assert room.lost(60_000, 8) > room.lost(96_000, 7) > 0
    assert room.lost(96_000, 0) == 0
