"""What machine this is, for the head of every page."""

import os
import platform
import subprocess
from pathlib import Path


def describe() -> str:
    """Processor, cores, system, Python and the load at the moment."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
    load = os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0))
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{model}, {cores} cores, {system}, load now {load:.1f}"


def commit() -> str:
    """Of the sources, with -dirty behind it when something was changed; "unknown" outside a repository."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=9"]
    said = subprocess.run(git, capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"
