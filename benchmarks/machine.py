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
    """Of the sources, with -dirty behind it when other than results was changed; "unknown" without git."""

    def git(*asked: str) -> str:
        where = str(Path(__file__).parent.parent)
        command = ["git", "-C", where, *asked]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
    return (git("describe", "--always", "--abbrev=9") or "unknown") + ("-dirty" if changed else "")
