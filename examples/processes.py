"""Processes of an example: where they listen, and configurations with the places that this run has."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

Running = tuple["subprocess.Popen[str]", dict[str, str]]


@contextlib.contextmanager
def running(*arguments: str, names: tuple[str, ...]) -> Iterator[Running]:
    """A steelyard process and where it listens."""
    command = [sys.executable, "-m", "steelyard", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        places: dict[str, str] = {}
        try:
            while len(places) < len(names):
                line = process.stdout.readline()
                if not line:
                    raise SystemExit(f"steelyard {' '.join(arguments)} ended before it listened")
                name, found, url = line.strip().partition(" listening on ")
                if found:
                    places[name] = url
            yield process, places
        finally:
            process.terminate()


def fitted(path: Path, places: Mapping[str, str], folder: Path) -> Path:
    """A copy of a configuration in which each address of `places` is what stands behind it there."""
    text = path.read_text(encoding="utf-8")
    for written, actual in places.items():
        if written not in text:
            raise SystemExit(f"{path} does not name {written}")
        text = text.replace(written, actual)
    copy = folder / path.name
    copy.write_text(text, encoding="utf-8")
    return copy
