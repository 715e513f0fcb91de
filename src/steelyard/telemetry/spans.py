"""Spans on their way to a collector (OTLP over HTTP): gathered in memory, sent by a thread.

What is waiting has a bound: when the collector is slow or gone, requests are served on and spans are dropped.
The thread says so on standard error, at most once a minute. OpenTelemetry is imported only when spans are
wanted, so the extra `otel` is needed then alone.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from steelyard.config.tracing import TracingOptions
from steelyard.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

MAX_WAITING = 8_192  # traces
BATCH = 256  # traces in one post
FLUSH_S = 0.5
TELL_EVERY_S = 60.0

Value = str | int | float | bool | Sequence[str]


@dataclass(frozen=True, slots=True)
class Span:
    """One span. kind: "server", "internal" or "client"; parent_id: 0 for none; error: "" when it went well.

    start_s, end_s: Unix time. remote_parent: the parent lives in another process.
    """

    name: str
    kind: str
    trace_id: int
    span_id: int
    parent_id: int
    start_s: float
    end_s: float
    attributes: Mapping[str, Value]
    error: str = ""
    remote_parent: bool = False


class SpanSender:
    """Takes traces, each a function that makes its spans when the thread has time for it."""

    def __init__(self, options: TracingOptions) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource

        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # failures are told here, and not each
        self._not_taken = f"the collector at {options.url} does not take them"
        self._exporter = OTLPSpanExporter(endpoint=options.url, timeout=options.timeout_s)
        self._resource = Resource.create(
            {
                "service.name": options.service_name,
                "service.version": __version__,
                "service.instance.id": f"{os.uname().nodename}-{os.getpid()}",
            }
        )
        self._waiting: list[Callable[[], list[Span]]] = []
        self._dropped = 0
        self._why = ""
        self._told_s = -TELL_EVERY_S
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def send(self, make: Callable[[], list[Span]]) -> None:
        """Take one trace; drops it when too many wait."""
        if len(self._waiting) >= MAX_WAITING:
            self._drop(1, self._not_taken)
        else:
            self._waiting.append(make)

    def close(self) -> None:
        """Send what waits, once, and stop."""
        self._stopped.set()
        self._thread.join(timeout=5)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the exporter has no annotations

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        traces, self._waiting = self._waiting, []
        for start in range(0, len(traces), BATCH):
            self._export(traces[start : start + BATCH])
        if self._dropped and monotonic() - self._told_s >= TELL_EVERY_S:
            self._told_s = monotonic()
            with suppress(OSError, ValueError):  # standard error may be closed
                print(f"steelyard: {self._dropped} traces dropped: {self._why}", file=sys.stderr, flush=True)
            self._dropped = 0

    def _export(self, batch: list[Callable[[], list[Span]]]) -> None:
        """Send what can be made of a batch. Never raises: if the thread ended, all that follows were lost."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans: list[ReadableSpan] = []
        made = len(batch)
        for make in batch:
            try:
                spans += [readable(span, self._resource) for span in make()]
            except Exception as error:  # noqa: BLE001 - one odd trace must not take the others with it
                made -= 1
                self._drop(1, f"the last for {error!r}")
        try:
            if spans and self._exporter.export(spans) is not SpanExportResult.SUCCESS:
                self._drop(made, self._not_taken)
        except Exception as error:  # noqa: BLE001 - what another library raises is not known
            self._drop(made, f"the last for {error!r}")

    def _drop(self, count: int, why: str) -> None:
        self._dropped += count
        self._why = why


def readable(span: Span, resource: "Resource") -> "ReadableSpan":
    """As OpenTelemetry has it."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context(span_id: int, is_remote: bool) -> "SpanContext":
        return SpanContext(span.trace_id, span_id, is_remote, TraceFlags(TraceFlags.SAMPLED))

    return ReadableSpan(
        name=span.name,
        context=context(span.span_id, is_remote=False),
        parent=context(span.parent_id, span.remote_parent) if span.parent_id else None,
        resource=resource,
        attributes=dict(span.attributes),
        kind=SpanKind[span.kind.upper()],
        instrumentation_scope=InstrumentationScope("steelyard", __version__),
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
        start_time=round(span.start_s * 1e9),
        end_time=round(max(span.start_s, span.end_s) * 1e9),
    )
