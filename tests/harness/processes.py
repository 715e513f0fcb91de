"""steelyard as real processes. Ports are chosen by the system and read back."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

START_TIMEOUT_S = 30.0


def wait_until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Wait for a condition; fail the test when it does not come."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {condition}"
        time.sleep(0.02)


class Running:
    """One `steelyard` process and where it listens."""

    def __init__(self, *arguments: str, listens: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "steelyard", *arguments],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self.addresses: dict[str, str] = {}
        assert self.process.stdout is not None
        while len(self.addresses) < len(listens):
            line = self.process.stdout.readline()
            assert line, f"steelyard {' '.join(arguments)} ended before it listened"
            name, found, url = line.strip().partition(" listening on ")
            if found:
                self.addresses[name] = url

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()


@contextlib.contextmanager
def running(*arguments: str, listens: tuple[str, ...]) -> Iterator[Running]:
    """A process for the length of a block."""
    child = Running(*arguments, listens=listens)
    try:
        yield child
    finally:
        child.stop()


@contextlib.contextmanager
def engines(count: int, *options: str) -> Iterator[list[Running]]:
    """Emulated engines."""
    with contextlib.ExitStack() as stack:
        arguments = ("engine", "--port", "0", "--time-scale", "20", *options)
        yield [stack.enter_context(running(*arguments, listens=("engine",))) for _ in range(count)]


@contextlib.contextmanager
def gateway(*urls: str, options: tuple[str, ...] = ()) -> Iterator[Running]:
    """A gateway before engines."""
    named = [each for url in urls for each in ("--engine", url)]
    ports = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    with running("serve", *named, *ports, *options, listens=("gateway", "admin")) as child:
        yield child


@contextlib.contextmanager
def configured_gateway(folder: Path, configuration: str) -> Iterator[Running]:
    """A gateway that obeys a configuration file's text; it listens on free ports."""
    file = folder / f"gateway-{len(list(folder.iterdir()))}.toml"
    file.write_text(f'listen = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n{configuration}', encoding="utf-8")
    with running("serve", str(file), listens=("gateway", "admin")) as child:
        yield child


def metrics(child: Running, port: str = "admin") -> dict[str, float]:
    """A gateway's metrics by name and labels, or an engine's, which are on its port `engine`."""
    with urllib.request.urlopen(child.addresses[port] + "/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }
