"""Smoothing by age, and a verdict that does not flicker."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.cluster.node_load import (
    THRESHOLDS,
    LoadRules,
    NodeLoad,
    Threshold,
    placeable,
    smoothed,
)
from steelyard.model.resources import RESOURCE_NAMES, Resources
from steelyard.model.telemetry import GpuTelemetry, NodeTelemetry

CAPACITY = Resources(cpu_cores=8, memory_bytes=100, disk_write_bytes_per_s=100, gpu_memory_bytes=80, gpus=1)
RULES = LoadRules(time_constant_s=5.0, low_disk_bytes=10)


def sample(at_s: float, cores: float = 0.0, memory: float = 0.0, **more: object) -> NodeTelemetry:
    fixed = {"node_id": "a", "cpu_cores": 8.0, "memory_bytes": 100.0}
    return NodeTelemetry(
        sampled_at_s=at_s,
        cpu_used_cores=cores,
        memory_used_bytes=memory,
        **(fixed | more),  # type: ignore[arg-type]  # fields by name
    )


def observed(*samples: NodeTelemetry) -> NodeLoad:
    load: NodeLoad | None = None
    for each in samples:
        load = RULES.observe(load, each, CAPACITY)
    assert load is not None
    return load


def test_a_step_is_63_percent_seen_after_one_time_constant() -> None:
    after = smoothed(sample(0.0, cores=0.0), sample(5.0, cores=8.0), 5.0)
    assert after.cpu_used_cores == pytest.approx(8 * (1 - math.exp(-1)))


@given(st.lists(st.floats(0.01, 20), min_size=1, max_size=20))
def test_a_steady_node_reads_the_same_however_often_it_is_sampled(gaps: list[float]) -> None:
    at_s, load = 0.0, RULES.observe(None, sample(0.0, cores=3.0), CAPACITY)
    for gap in gaps:
        at_s += gap
        load = RULES.observe(load, sample(at_s, cores=3.0), CAPACITY)
    assert load.telemetry.cpu_used_cores == pytest.approx(3.0)


def test_splitting_an_interval_does_not_change_the_mean() -> None:
    once = observed(sample(0.0), sample(4.0, cores=8.0))
    twice = observed(sample(0.0), sample(1.0, cores=8.0), sample(4.0, cores=8.0))
    assert once.telemetry.cpu_used_cores == pytest.approx(twice.telemetry.cpu_used_cores)


def test_one_spike_does_not_make_a_node_hot_but_a_lasting_load_does() -> None:
    assert not observed(sample(0.0), sample(2.0, cores=8.0), sample(4.0)).is_hot
    busy = [sample(2.0 * i, cores=8.0) for i in range(1, 8)]
    assert observed(sample(0.0), *busy).hot == ("cpu_cores",)


def test_a_hot_node_stays_hot_between_the_two_marks() -> None:
    marks = THRESHOLDS["memory_bytes"]
    between = 100 * (marks.hot + marks.cool) / 2
    assert observed(sample(0.0, memory=between)).hot == ()
    hot = RULES.observe(None, sample(0.0, memory=95), CAPACITY)
    assert hot.hot == ("memory_bytes",)
    for step in range(1, 6):
        hot = RULES.observe(hot, sample(10.0 * step, memory=between), CAPACITY)
    assert hot.hot == ("memory_bytes",)
    assert RULES.observe(hot, sample(80.0, memory=10), CAPACITY).hot == ()


def test_a_late_or_repeated_sample_changes_nothing() -> None:
    load = observed(sample(0.0, cores=1.0), sample(4.0, cores=2.0))
    assert RULES.observe(load, sample(4.0, cores=8.0), CAPACITY) is load
    assert RULES.observe(load, sample(3.0, cores=8.0), CAPACITY) is load


def test_after_a_long_silence_the_mean_starts_anew() -> None:
    load = observed(sample(0.0, cores=8.0), sample(100.0, cores=1.0))
    assert load.telemetry.cpu_used_cores == 1.0


def test_a_full_disk_and_a_hot_gpu_are_named() -> None:
    gpu = GpuTelemetry(name="0", memory_bytes=80, memory_used_bytes=79, used_fraction=1.0, temperature_c=90.0)
    load = observed(sample(0.0, gpus=(gpu,), disk_free_bytes=5.0))
    assert load.hot == ("disk_free", "gpu_memory_bytes", "gpu_temperature")


def test_a_busy_gpu_alone_is_not_hot() -> None:
    gpu = GpuTelemetry(name="0", memory_bytes=80, memory_used_bytes=40, used_fraction=1.0, temperature_c=70.0)
    assert not observed(sample(0.0, gpus=(gpu,))).is_hot


def test_gpus_are_smoothed_device_by_device_and_a_changed_set_starts_anew() -> None:
    def gpu(name: str, watts: float | None) -> GpuTelemetry:
        return GpuTelemetry(name=name, memory_bytes=80, memory_used_bytes=8, power_w=watts)

    before = sample(0.0, gpus=(gpu("0", 100.0), gpu("1", None)))
    after = smoothed(before, sample(5.0, gpus=(gpu("0", 200.0), gpu("1", 50.0))), 5.0)
    assert after.gpus[0].power_w == pytest.approx(200 - 100 * math.exp(-1))
    assert after.gpus[1].power_w == 50.0
    assert smoothed(before, sample(5.0, gpus=(gpu("1", 50.0),)), 5.0).gpus == (gpu("1", 50.0),)


def test_samples_of_two_nodes_do_not_mix() -> None:
    with pytest.raises(ValueError, match="two nodes"):
        smoothed(sample(0.0), sample(1.0, node_id="b"), 5.0)


@pytest.mark.parametrize("marks", [(0.1, 0.8, 0.9), (1.0, 0.9, 0.8), (0.1, 1.2, 0.8), (-0.1, 0.9, 0.8)])
def test_marks_that_make_no_sense_are_refused(marks: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="headroom"):
        Threshold(headroom=marks[0], hot=marks[1], cool=marks[2])


def test_headroom_is_kept_of_everything_but_cores_and_whole_gpus() -> None:
    free = placeable(Resources(**dict.fromkeys(RESOURCE_NAMES, 100.0)))
    assert free.gpus == free.cpu_cores == 100
    assert all(getattr(free, name) < 100 for name in RESOURCE_NAMES if name not in ("gpus", "cpu_cores"))
