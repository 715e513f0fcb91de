"""`[tracing]`: where spans go; off by default."""

import importlib.util
from dataclasses import dataclass
from urllib.parse import urlsplit

from steelyard.config.checks import require

EXPORTER = "opentelemetry.exporter.otlp.proto.http"


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingOptions:
    """OpenTelemetry spans of requests; needs the extra `otel`."""

    endpoint: str = ""  # an OTLP/HTTP collector, such as http://127.0.0.1:4318; empty: no traces
    sample_ratio: float = 1.0  # share of traces that begin here; one that a request brings decides itself
    service_name: str = "steelyard"  # service.name of the spans
    timeout_s: float = 10.0  # for the collector to take a batch, repetitions included; then it is dropped

    def __post_init__(self) -> None:
        require(
            0.0 <= self.sample_ratio <= 1.0,
            f"tracing.sample_ratio is {self.sample_ratio}: it must be between 0 and 1",
        )
        require(self.timeout_s > 0, f"tracing.timeout_s is {self.timeout_s}: it must be above 0")
        require(bool(self.service_name), "tracing.service_name is empty: leave it out for steelyard")
        if not self.endpoint:
            return
        url = urlsplit(self.endpoint)
        require(
            url.scheme in ("http", "https") and bool(url.hostname),
            f"tracing.endpoint is {self.endpoint!r}: it must look like http://HOST:4318",
        )
        require(
            _installed(),
            "tracing.endpoint is set, but OpenTelemetry is not installed: pip install 'steelyard[otel]'",
        )

    @property
    def url(self) -> str:
        """Where spans are posted: the endpoint's own path, or else the one that OTLP/HTTP names."""
        path = urlsplit(self.endpoint).path.strip("/")
        return self.endpoint if path else f"{self.endpoint.rstrip('/')}/v1/traces"


def _installed() -> bool:
    try:
        return importlib.util.find_spec(EXPORTER) is not None
    except ModuleNotFoundError:
        return False
