"""The value that every executor reports."""

import msgspec
import pytest

from steelyard.model.resources import Resources
from steelyard.model.telemetry import GpuTelemetry, NodeTelemetry


def sample(**changes: object) -> NodeTelemetry:
    given: dict[str, object] = {
        "node_id": "a",
        "sampled_at_s": 10.0,
        "cpu_cores": 8.0,
        "cpu_used_cores": 2.0,
        "memory_bytes": 64.0,
        "memory_used_bytes": 16.0,
    }
    return NodeTelemetry(**(given | changes))  # type: ignore[arg-type]  # fields by name


def test_an_age_is_never_negative() -> None:
    assert sample().age_s(12.5) == 2.5
    assert sample().age_s(9.0) == 0.0


def test_both_directions_of_the_network_and_all_gpus_count_as_used() -> None:
    gpus = (
        GpuTelemetry(name="0", memory_bytes=80, memory_used_bytes=20, used_fraction=0.25),
        GpuTelemetry(name="1", memory_bytes=80, memory_used_bytes=40),  # does not say how busy it is
        GpuTelemetry(name="2", memory_bytes=80, memory_used_bytes=0),
    )
    used = sample(network_receive_bytes_per_s=3.0, network_send_bytes_per_s=4.0, gpus=gpus).used
    assert used == Resources(
        cpu_cores=2, memory_bytes=16, network_bytes_per_s=7, gpus=1.25, gpu_memory_bytes=60
    )


def test_a_sample_survives_the_wire() -> None:
    full = sample(gpus=(GpuTelemetry(name="0", memory_bytes=80, memory_used_bytes=20, power_w=300.0),))
    assert msgspec.json.decode(msgspec.json.encode(full), type=NodeTelemetry) == full


def test_a_sample_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        sample().node_id = "b"  # type: ignore[misc]  # that it is frozen is what is tested
