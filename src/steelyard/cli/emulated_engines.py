"""Emulated engines for the length of a block: `steelyard serve --emulated N` needs no others."""

import contextlib
import ctypes
import signal
import subprocess
import sys
from collections.abc import Iterator

from steelyard.model.errors import ConfigError

MAX_ENGINES = 64
STOP_TIMEOUT_S = 5.0
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


@contextlib.contextmanager
def emulated_engines(count: int) -> Iterator[tuple[str, ...]]:
    """Start `count` engines on free ports and yield their URLs; end them afterwards. Raises ConfigError."""
    with contextlib.ExitStack() as stack:
        started = [_start() for _ in range(count)]  # all at once: each takes most of a second
        for engine in started:
            stack.callback(_stop, engine)
        yield tuple(_address(engine) for engine in started)


def _start() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "steelyard", "engine", "--port", "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # Ctrl-C is the gateway's: it finishes what it has before its engines go
        preexec_fn=_end_with_parent,
    )


def _end_with_parent() -> None:
    """A gateway that is killed leaves no engines behind (Linux; elsewhere they stay)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _address(engine: "subprocess.Popen[str]") -> str:
    line = engine.stdout.readline() if engine.stdout is not None else ""
    name, _, address = line.strip().partition(" listening on ")
    if name != "engine" or not address:
        raise ConfigError("an emulated engine did not start: `steelyard engine` says why")
    return address


def _stop(engine: "subprocess.Popen[str]") -> None:
    engine.terminate()
    try:
        engine.communicate(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        engine.kill()
        engine.communicate()
