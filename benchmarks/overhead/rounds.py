"""Rounds: every proxy in turn, several times over, and the median of each figure."""

import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.overhead.load import key_of
from benchmarks.overhead.processes import free_port, wait_for
from benchmarks.overhead.proxies import PROXIES

FIRST_ANSWER_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the caller chose."""

    rounds: int = 3
    seconds: int = 4
    prompt_bytes: int = 1100


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that serves."""

    name: str
    port: int
    process: subprocess.Popen[bytes]


Figures = dict[str, float]
Measure = Callable[[Running, list[int], Settings, Path], Figures]


def start_proxies(
    names: list[str], engines: list[int], folder: Path, started: list[subprocess.Popen[bytes]]
) -> list[Running]:
    """Start each; what was started is appended to `started`, also when a later one fails."""
    running = []
    for name in names:
        proxy, port = PROXIES[name], free_port()
        place = folder / name
        place.mkdir()
        process = proxy.starter(proxy.found() or [], place, port, engines)
        started.append(process)
        wait_for(name, process, port)
        answer_once(name, port, key_of(place))
        running.append(Running(name, port, process))
    return running


def answer_once(name: str, port: int, key: str = "sk-none") -> None:
    """Wait for a first whole answer: some load half of themselves, or their fleet, only then."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        data=b'{"model":"m","max_tokens":2,"messages":[{"role":"user","content":"are you there?"}]}',
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    deadline_s = time.monotonic() + FIRST_ANSWER_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=FIRST_ANSWER_S) as answer:
                answer.read()
            return
        except OSError as error:
            if time.monotonic() > deadline_s:
                raise SystemExit(f"{name} does not answer: {error}") from None
            time.sleep(0.2)


def measure_rounds(
    running: list[Running], engines: list[int], measure: Measure, settings: Settings, folder: Path
) -> dict[str, list[Figures]]:
    """Interleaved rounds; the first proxy changes from round to round."""
    figures: dict[str, list[Figures]] = {proxy.name: [] for proxy in running}
    for turn in range(settings.rounds if running else 0):
        at = turn % len(running)
        for proxy in running[at:] + running[:at]:
            figures[proxy.name].append(measure(proxy, engines, settings, folder))
    return figures


def medians(rounds: list[Figures]) -> Figures:
    """The median of each figure over rounds."""
    return {key: median(each[key] for each in rounds) for key in rounds[0]}
