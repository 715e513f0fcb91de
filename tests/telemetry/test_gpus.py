"""GPUs by NVML, against a module that answers like it."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from steelyard.telemetry.gpus import NoGpus, Nvml, find_gpus


class FakeError(Exception):
    """Stands for pynvml.NVMLError."""


def fake_nvml(*, driver: bool = True, dead: tuple[int, ...] = (), silent: bool = False) -> ModuleType:
    """A module with NVML's functions. dead: devices that fail; silent: no power, use, temperature."""

    def alive(device: int) -> int:
        if device in dead:
            raise FakeError("GPU is lost")
        return device

    def optional(value: float) -> float:
        if silent:
            raise FakeError("not supported")
        return value

    def start() -> None:
        if not driver:
            raise FakeError("driver not loaded")

    module = ModuleType("pynvml")
    functions = {
        "NVMLError": FakeError,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": start,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetUUID": lambda device: f"GPU-{device}".encode(),
        "nvmlDeviceGetMemoryInfo": lambda device: SimpleNamespace(total=80 << 30, used=alive(device) << 30),
        "nvmlDeviceGetUtilizationRates": lambda device: SimpleNamespace(gpu=optional(50 + device)),
        "nvmlDeviceGetPowerUsage": lambda device: optional(250_000),
        "nvmlDeviceGetTemperature": lambda device, kind: optional(61),
    }
    for name, value in functions.items():
        setattr(module, name, value)
    return module


def test_every_device_is_read() -> None:
    first, second = Nvml(fake_nvml()).read()
    assert (first.name, second.name) == ("GPU-0", "GPU-1")
    assert (second.memory_bytes, second.memory_used_bytes) == (80 << 30, 1 << 30)
    assert (second.used_fraction, second.power_w, second.temperature_c) == (0.51, 250.0, 61.0)


def test_a_lost_device_is_left_out() -> None:
    assert [gpu.name for gpu in Nvml(fake_nvml(dead=(0,))).read()] == ["GPU-1"]


def test_what_a_device_does_not_say_is_none() -> None:
    gpu = Nvml(fake_nvml(silent=True)).read()[1]
    assert (gpu.used_fraction, gpu.power_w, gpu.temperature_c) == (None, None, None)
    assert gpu.memory_used_bytes == 1 << 30


def test_no_driver_is_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(driver=False))
    assert find_gpus().read() == ()
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())
    assert len(find_gpus().read()) == 2
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert isinstance(find_gpus(), NoGpus)
