"""Sending spans: whole, in their kinds, and never at the price of memory or of a flood of messages."""

import importlib.util
import threading

import pytest
from tests.harness.chaos_engine import closed_port
from tests.harness.collector import collector

from steelyard.config.tracing import TracingOptions
from steelyard.telemetry import spans
from steelyard.telemetry.spans import Span, SpanSender, Value

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry") is None, reason="needs OpenTelemetry: the extra `otel`"
)


def span(number: int, *, error: str = "") -> Span:
    kind = ("server", "internal", "client")[number % 3]
    attributes: dict[str, Value] = {"words": ["a", "b"], "count": number, "share": 0.5, "yes": True}
    return Span(f"s{number}", kind, 1 << 127, number + 1, number, 1.5, 2.0, attributes, error)


def test_spans_arrive_as_they_were_meant() -> None:
    with collector() as sink:
        sender = SpanSender(TracingOptions(endpoint=sink.url, service_name="front"))
        sender.send(lambda: [span(0), span(1), span(2, error="oh")])
        sender.close()
    first, _, last = sink.spans
    assert (first["trace"], first["id"], first["parent"]) == ("8" + "0" * 31, "0" * 15 + "1", "")
    assert (last["parent"], last["status"], last["message"]) == ("0" * 15 + "2", 2, "oh")
    assert (first["start"], first["end"]) == (1_500_000_000, 2_000_000_000)
    assert [each["kind"] for each in sink.spans] == [2, 1, 3]
    assert last["attributes"] == {"words": ["a", "b"], "count": 2, "share": 0.5, "yes": True}
    assert sink.resources[0]["service.name"] == "front"
    assert sink.resources[0]["service.version"]


def test_says_once_that_nobody_takes_them(capfd: pytest.CaptureFixture[str]) -> None:
    with closed_port() as nowhere:
        sender = SpanSender(TracingOptions(endpoint=nowhere, timeout_s=0.2))
        for number in range(3):
            sender.send(lambda number=number: [span(number)])  # type: ignore[misc]  # mypy infers no default of a lambda
        sender.close()
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "traces dropped: the collector at http://127.0.0.1:" in said


def test_what_waits_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "MAX_WAITING", 5)
    monkeypatch.setattr(spans, "FLUSH_S", 60.0)  # the thread sends when it is told to stop, and not before
    with collector() as sink:
        sender = SpanSender(TracingOptions(endpoint=sink.url))
        for number in range(9):
            sender.send(lambda number=number: [span(number)])  # type: ignore[misc]  # mypy infers no default of a lambda
        sender.close()
    assert len(sink.spans) == 5


def test_a_trace_that_cannot_be_made_is_counted_and_the_others_arrive(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def odd() -> list[Span]:
        raise KeyError("odd")

    with collector() as sink:
        sender = SpanSender(TracingOptions(endpoint=sink.url))
        for make in (lambda: [span(0)], odd, lambda: [span(1)]):
            sender.send(make)
        sender.close()
    assert len(sink.spans) == 2
    assert "1 traces dropped: the last for KeyError('odd')" in capfd.readouterr().err


def test_an_exporter_that_raises_does_not_end_the_thread(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(spans, "FLUSH_S", 0.001)
    raised = threading.Event()

    def export(_: object) -> None:
        raised.set()
        raise ValueError("no")

    with collector() as sink:
        sender = SpanSender(TracingOptions(endpoint=sink.url))
        with monkeypatch.context() as broken:
            broken.setattr(sender._exporter, "export", export)
            sender.send(lambda: [span(0)])
            assert raised.wait(15)
        sender.send(lambda: [span(1)])
        sender.close()
    assert len(sink.spans) == 1
    assert "1 traces dropped: the last for ValueError('no')" in capfd.readouterr().err
