"""GPUs by NVML, where the extra `gpu` is installed and a driver answers; none elsewhere."""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

from steelyard.model.telemetry import GpuTelemetry


class GpuReader(Protocol):
    """Reads all GPUs of this machine."""

    def read(self) -> tuple[GpuTelemetry, ...]:
        """One value a device, in a stable order; empty when there are none."""
        ...


class NoGpus:
    """A machine without GPUs, or without the means to see them."""

    def read(self) -> tuple[GpuTelemetry, ...]:
        """None."""
        return ()


class Nvml:
    """NVIDIA's management library. A device that falls off the bus is left out from then on."""

    def __init__(self, nvml: ModuleType) -> None:
        """Raises the library's NVMLError when no driver answers."""
        self._nvml: Any = nvml
        self._nvml.nvmlInit()
        self._devices = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]

    def read(self) -> tuple[GpuTelemetry, ...]:
        """One value a device."""
        gpus = []
        for device in self._devices:
            try:
                gpus.append(self._read_device(device))
            except self._nvml.NVMLError:
                continue
        return tuple(gpus)

    def _read_device(self, device: object) -> GpuTelemetry:
        nvml = self._nvml
        memory = nvml.nvmlDeviceGetMemoryInfo(device)
        return GpuTelemetry(
            name=_text(nvml.nvmlDeviceGetUUID(device)),
            memory_bytes=float(memory.total),
            memory_used_bytes=float(memory.used),
            used_fraction=self._optional(lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100),
            power_w=self._optional(lambda: nvml.nvmlDeviceGetPowerUsage(device) / 1000),
            temperature_c=self._optional(
                lambda: float(nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU))
            ),
        )

    def _optional(self, reading: Callable[[], float]) -> float | None:
        """A reading that older devices and slices of a device do not give."""
        try:
            return reading()
        except self._nvml.NVMLError:
            return None


def find_gpus() -> GpuReader:
    """NVML where it works, else no GPUs: a node without a driver is a node without GPUs."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return NoGpus()
    try:
        return Nvml(nvml)
    except nvml.NVMLError:
        return NoGpus()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
