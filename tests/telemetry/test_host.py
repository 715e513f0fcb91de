"""This machine's numbers, and what reading them costs."""

import time
from pathlib import Path

import psutil

from steelyard.telemetry.gpus import NoGpus
from steelyard.telemetry.host import SAMPLE_INTERVAL_S, HostSampler, free_bytes
from steelyard.telemetry.rates import Rates


def test_a_sample_is_within_what_the_machine_has() -> None:
    seen = HostSampler("here", gpus=NoGpus()).sample()
    assert seen.node_id == "here"
    assert 0 <= seen.cpu_used_cores <= seen.cpu_cores == psutil.cpu_count()
    assert 0 < seen.memory_used_bytes < seen.memory_bytes == psutil.virtual_memory().total
    assert seen.disk_free_bytes is not None
    assert seen.age_s(time.monotonic()) < 60


def test_a_busy_core_is_seen() -> None:
    sampler = HostSampler("here", gpus=NoGpus())
    spent_s, start_s = time.process_time(), time.monotonic()
    while time.process_time() - spent_s < 0.3:
        pass
    elapsed_s = time.monotonic() - start_s
    # The kernel counts in ticks of 10 ms, and this process alone took 0.3 s.
    assert sampler.sample().cpu_used_cores > 0.2 / (elapsed_s + 0.1)


def test_sampling_costs_at_most_one_percent_of_a_core() -> None:
    sampler, samples = HostSampler("here"), 50
    before_s = time.process_time()
    for _ in range(samples):
        sampler.sample()
    cost_s = (time.process_time() - before_s) / samples
    assert cost_s / SAMPLE_INTERVAL_S <= 0.01, f"{cost_s * 1e3:.2f} ms a sample"


def test_no_disk_is_no_free_disk(tmp_path: Path) -> None:
    assert free_bytes(str(tmp_path / "missing")) is None


def test_rates_are_growth_by_time_and_never_negative() -> None:
    rates = Rates()
    assert rates.update({"a": 100.0}, 1.0) == {"a": 0.0}
    assert rates.update({"a": 300.0, "new": 50.0}, 3.0) == {"a": 100.0, "new": 0.0}
    assert rates.update({"a": 300.0, "new": 50.0}, 3.0) == {"a": 0.0, "new": 0.0}
    assert rates.update({"a": 10.0, "new": 60.0}, 4.0) == {"a": 0.0, "new": 10.0}
