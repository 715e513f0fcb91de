"""Scenarios `stream` and `idle`: CPU a stream of events, and memory a stream that only waits."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.overhead.processes import LOAD_CORE, Memory, cpu_time, memory
from benchmarks.overhead.rounds import Figures, Running, Settings

EVENTS, INTERVAL_MS, CONNECTIONS, STREAMS_EACH = 202, 10, 128, 2
IDLE_STREAMS, IDLE_EVENTS, IDLE_RAMP_S, HOLD_S = 4000, 3, 6, 15


def engine_command(*, idle: bool) -> tuple[str, ...]:
    """The event server's arguments before its ports."""
    events, hold_s = (IDLE_EVENTS, HOLD_S) if idle else (EVENTS, 0)
    module = ("-m", "benchmarks.overhead.event_server")
    return (sys.executable, *module, str(events), str(INTERVAL_MS), str(hold_s))


def run_client(
    port: int, *, connections: int, streams: int, events: int, ramp_s: float, opened: Callable[[], None]
) -> dict[str, float]:
    """Run the load; `opened` is called when every connection has had its first event."""
    words = map(str, (port, connections, streams, events, ramp_s))
    command = ("taskset", "-c", LOAD_CORE, sys.executable, "-m", "benchmarks.overhead.event_client", *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "open":
                opened()
            else:
                answer: dict[str, float] = json.loads(line)
                return answer
    raise SystemExit(f"the load of streams ended with code {process.returncode}: its error stands above")


def measure_streams(proxy: Running, engines: list[int], settings: Settings, folder: Path) -> Figures:
    """A fixed number of streams, so that none is cut by the end of a round."""
    seen: list[Memory] = []
    before = cpu_time(proxy.process.pid)
    result = run_client(
        proxy.port,
        connections=CONNECTIONS,
        streams=STREAMS_EACH,
        events=EVENTS,
        ramp_s=0.5,
        opened=lambda: seen.append(memory(proxy.process.pid)),
    )
    used = cpu_time(proxy.process.pid).since(before)
    count = CONNECTIONS * STREAMS_EACH
    if result["errors"]:
        raise SystemExit(f"{proxy.name}: {result['errors']:.0f} of {count} streams were not whole")
    return {
        "cpu_us": used.total_s / count * 1e6,
        "user_us": used.user_s / count * 1e6,
        "system_us": used.system_s / count * 1e6,
        "cpu_event_us": used.total_s / count / EVENTS * 1e6,
        "busy_fraction": used.total_s / result["seconds"],
        "seconds": result["seconds"],
        "events_a_read": result["events_a_read"],
        "gap_p99_ms": result["gap_p99_ms"],
        "memory_mb": seen[0].total_bytes / 1e6,
    }


def measure_idle(proxy: Running, engines: list[int], settings: Settings, folder: Path) -> Figures:
    """Many streams that have begun and wait; errors are a figure here, not the end."""
    before = memory(proxy.process.pid)
    seen: list[Memory] = []
    result = run_client(
        proxy.port,
        connections=IDLE_STREAMS,
        streams=1,
        events=IDLE_EVENTS,
        ramp_s=IDLE_RAMP_S,
        opened=lambda: seen.append(memory(proxy.process.pid)),
    )
    grown = seen[0].total_bytes - before.total_bytes
    return {
        "streams": IDLE_STREAMS,
        "errors": result["errors"],
        "memory_mb": seen[0].total_bytes / 1e6,
        "kib_a_stream": grown / IDLE_STREAMS / 1024,
    }
