"""Choose proxies, scenarios and rounds; measure; write Markdown and JSON."""

import argparse
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.machine import describe
from benchmarks.overhead import replace, request, stream
from benchmarks.overhead.backends import COUNT, start_events, start_static
from benchmarks.overhead.page import document
from benchmarks.overhead.processes import ended, free_port, wait_for
from benchmarks.overhead.proxies import PROXIES
from benchmarks.overhead.rounds import Figures, Measure, Settings, measure_rounds, start_proxies

SCENARIOS: dict[str, tuple[Callable[[Path, list[int]], subprocess.Popen[bytes]], Measure]] = {
    "request": (start_static, request.measure),
    "stream": (partial(start_events, stream.engine_command(idle=False)), stream.measure_streams),
    "idle": (partial(start_events, stream.engine_command(idle=True)), stream.measure_idle),
    "replace": (start_static, replace.measure),
}
SETTLE_S = 2.0


def run_scenario(scenario: str, names: list[str], settings: Settings) -> dict[str, list[Figures]]:
    """Start engines and proxies, and measure."""
    start_engines, measure = SCENARIOS[scenario]
    if scenario == "replace":
        names = [name for name in names if PROXIES[name].replaces_workers]
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as name, ended(started):
        folder = Path(name)
        engines = [free_port() for _ in range(COUNT)]
        started.append(start_engines(folder, engines))
        wait_for("the engines", started[0], engines[-1])
        running = start_proxies(names, engines, folder, started)
        time.sleep(SETTLE_S)  # the first health probes
        return measure_rounds(running, engines, measure, settings, folder)


def head_of(names: list[str], missing: list[str], settings: Settings) -> dict[str, Any]:
    """What a reader must know of the run, taken before it."""
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"wrk (\S+)", wrk)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    versions = {name: PROXIES[name].described() for name in names}
    return {
        "machine": describe(),
        "commit": commit or "unknown",
        "load_before": " ".join(f"{each:.2f}" for each in os.getloadavg()),
        "versions": versions | {"wrk": found[1] if found else "unknown"},
        "missing": missing,
        "rounds": settings.rounds,
        "seconds": settings.seconds,
        "prompt_bytes": settings.prompt_bytes,
    }


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description="What a proxy costs.")
    parser.add_argument("--only", default=",".join(PROXIES), help=f"proxies, of: {', '.join(PROXIES)}")
    parser.add_argument("--scenario", default=",".join(SCENARIOS), help=f"of: {', '.join(SCENARIOS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of load a round")
    parser.add_argument(
        "--prompt-bytes", type=int, default=1100, help="over 1,024: so that prompts are indexed"
    )
    parser.add_argument("--out", type=Path, help="write OUT.md and OUT.json besides printing")
    chosen = parser.parse_args(words)
    for option, known in (("only", PROXIES), ("scenario", SCENARIOS)):
        setattr(chosen, option, [each for each in getattr(chosen, option).split(",") if each])
        unknown = [each for each in getattr(chosen, option) if each not in known]
        if unknown:
            parser.error(f"--{option}: {unknown[0]!r} is none of {', '.join(known)}")
    return chosen


def run(words: Sequence[str] | None = None) -> str:
    """Measure, and return the page as Markdown."""
    chosen = arguments(words)
    lacking = [name for name in ("wrk", "nginx", "taskset") if shutil.which(name) is None]
    if lacking or len(os.sched_getaffinity(0)) < 2:
        return f"# Overhead\n\nNot measured here: needs {', '.join(lacking) or 'another core'}.\n"
    names = [name for name in chosen.only if PROXIES[name].found()]
    missing = [name for name in chosen.only if name not in names]
    if not names:
        return f"# Overhead\n\nNot installed here: {', '.join(missing)} (benchmarks/README.md says how).\n"
    settings = Settings(rounds=chosen.rounds, seconds=chosen.seconds, prompt_bytes=chosen.prompt_bytes)
    head = head_of(names, missing, settings)
    results = {scenario: run_scenario(scenario, names, settings) for scenario in chosen.scenario}
    page = document(head, results)
    if chosen.out is not None:
        chosen.out.with_suffix(".md").write_text(page, encoding="utf-8")
        chosen.out.with_suffix(".json").write_bytes(
            msgspec.json.format(msgspec.json.encode(head | {"figures": results}))
        )
    return page
