"""The reference of the metrics, from what a running gateway says of itself."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

INTRODUCTION = """# Metrics

Generated from the metrics of a running gateway when this site is built: `curl http://127.0.0.1:9090/metrics`.
Labels come from the configuration alone, so no client can make them grow. Alerts and a board that use them:
[Deploying](../deploy.md#what-to-watch).

| metric | kind | labels | |
|---|---|---|---|
"""
PATIENCE_S = 20.0
CONFIGURATION = """listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
workers = 1
keys = {{ file = "{folder}/keys.json" }}
[[tenants]]
name = "search"
[[pools]]
name = "llm"
health = {{ interval_s = 0.2 }}
[[pools.replicas]]
url = "{engine}"
"""


@dataclass(slots=True)
class Family:
    """One metric as its exposition declares it."""

    name: str
    text: str
    kind: str = ""
    labels: list[str] = field(default_factory=list)


def page() -> str:
    """The page as Markdown; takes a second or two, since it asks a real gateway."""
    return INTRODUCTION + "".join(map(_row, families(exposition())))


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{family.name}` | {family.kind} | {labels} | {family.text} |\n"


def families(text: str) -> list[Family]:
    """What a page of metrics declares, sorted by name, with the labels of its samples."""
    found: dict[str, Family] = {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, told = line[7:].partition(" ")
            found.setdefault(name, Family(name, told.replace("|", "\\|")))
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            found.setdefault(name, Family(name, "")).kind = kind
        elif line:
            _note_labels(found, line)
    return sorted(found.values(), key=lambda each: each.name)


def _note_labels(found: dict[str, Family], line: str) -> None:
    name = re.split(r"[{ ]", line, maxsplit=1)[0]
    family = found.get(name) or found.get(re.sub(r"_(bucket|sum|count|total)$", "", name))
    for label in re.findall(r'(\w+)="', line) if family else ():
        if family and label != "le" and label not in family.labels:
            family.labels.append(label)


def exposition() -> str:
    """The metrics of a gateway with an engine and a tenant. Raises RuntimeError when it does not come up."""
    with tempfile.TemporaryDirectory() as folder, _running("engine", "--port", "0") as engine:
        file = Path(folder) / "gateway.toml"
        file.write_text(CONFIGURATION.format(folder=folder, engine=engine["engine"]), encoding="utf-8")
        environment = [sys.executable, "-m", "steelyard", "keys", "add", "search", "--config", str(file)]
        subprocess.run(environment, check=True, capture_output=True, timeout=PATIENCE_S)
        with _running("serve", str(file)) as gateway:
            return _read_until(gateway["admin"] + "/metrics", "steelyard_replica_reported_running_requests{")


def _read_until(url: str, sign: str) -> str:
    """The page once the supervisor has read the engine's own metrics."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = str(answer.read().decode())
        if sign in text:
            return text
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not show {sign} within {PATIENCE_S:.0f} s")


@contextlib.contextmanager
def _running(*arguments: str) -> Iterator[dict[str, str]]:
    """A `steelyard` process for a while, and where it listens, by name."""
    command = [sys.executable, "-m", "steelyard", *arguments]
    wanted = {"engine"} if arguments[0] == "engine" else {"gateway", "admin"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
    )
    try:
        addresses: dict[str, str] = {}
        while process.stdout is not None and not wanted <= set(addresses):
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"steelyard {' '.join(arguments)} ended before it listened")
            name, found, url = line.strip().partition(" listening on ")
            if found:
                addresses[name] = url
        yield addresses
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
