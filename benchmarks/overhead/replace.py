"""Scenario `replace`: how long new clients wait when a worker is killed, for proxies that replace one."""

import os
import signal
import time
import urllib.request
from pathlib import Path

import psutil

from benchmarks.overhead.processes import tree
from benchmarks.overhead.rounds import Figures, Running, Settings

LIMIT_S = 30.0
TRY_S = 0.005


def measure(proxy: Running, engines: list[int], settings: Settings, folder: Path) -> Figures:
    """Kill the worker; ask on new connections until one is answered. Raises SystemExit when none is."""
    worker = _worker(proxy)
    os.kill(worker.pid, signal.SIGKILL)
    killed_s = time.monotonic()
    while time.monotonic() - killed_s < LIMIT_S:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{proxy.port}/v1/models", timeout=LIMIT_S
            ) as answer:
                answer.read()
            return {"replaced_ms": (time.monotonic() - killed_s) * 1e3}
        except OSError:
            time.sleep(TRY_S)
    raise SystemExit(f"{proxy.name} serves nobody {LIMIT_S:g} s after its worker was killed")


def _worker(proxy: Running) -> psutil.Process:
    """The youngest child: parents that replace workers start them last."""
    children = tree(proxy.process.pid)[1:]
    if not children:
        raise SystemExit(f"{proxy.name} has no worker process to kill")
    return max(children, key=lambda child: child.create_time())
